"""`Spaces`: an environment's two spaces, and the translation of their values there and back.

May import: the other files of this package; Gymnasium and NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
import numpy as np

from reverie.errors import InputError
from reverie.spaces.features import Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import UnsupportedSpaceError, action_feature, observation_feature
from reverie.spaces.leaves import Leaf, leaves, nest
from reverie.spaces.saving import space_from_json, space_to_json
from reverie.spaces.values import check_same_length, decode, encode, first_infinite, zeros


@dataclass(frozen=True)
class Spaces:
    """The translation between an environment's Gymnasium spaces and what the networks see.

    Keys of nested Dicts and indices of Tuples are joined with "/". A bare observation is called "image", "vector"
    (numbers) or "discrete" after its kind, a bare action "action".

    Raises:
        UnsupportedSpaceError: where a space is none of Box, Discrete, MultiDiscrete, MultiBinary, or Dicts and
            Tuples of them, or is an image that the encoder cannot take; says so of each.
    """

    observation_space: gym.Space[Any]
    """The environment's own, of a single environment."""
    action_space: gym.Space[Any]
    observation: Mapping[str, Feature] = field(init=False, compare=False)
    """What the networks see, by key, in sorted order."""
    action: Mapping[str, Continuous | Discrete] = field(init=False, compare=False)
    observation_leaves: Mapping[str, Leaf] = field(init=False, compare=False, repr=False)
    action_leaves: Mapping[str, Leaf] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        found, problems = [], list[str]()
        for what, space, feature in (
            ("observation", self.observation_space, observation_feature),
            ("action", self.action_space, action_feature),
        ):
            try:
                found.append(leaves(what, space, feature))
            except UnsupportedSpaceError as problem:
                problems.append(str(problem))
        if problems:
            raise UnsupportedSpaceError("; ".join(problems))
        observed, acted = found
        derived = {
            "observation_leaves": observed,
            "action_leaves": acted,
            "observation": {key: leaf.feature for key, leaf in observed.items()},
            "action": {key: leaf.feature for key, leaf in acted.items()},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    @classmethod
    def from_env(cls, env: gym.Env[Any, Any]) -> Spaces:
        """The spaces of an environment."""
        return cls(env.observation_space, env.action_space)

    def check_observation(self, observation: Any) -> None:
        """Compare one unbatched observation with its space, before batching hides what is wrong with it.

        Raises:
            ValueError: a key is missing, a shape or a dtype differs from the space's, or a number isn't finite.
        """
        for key, leaf in self.observation_leaves.items():
            value = np.asarray(leaf.pick(observation))
            if value.shape != leaf.space.shape:
                raise ValueError(f"observation {key!r} has shape {value.shape}, but its space says {leaf.space.shape}")
            if value.dtype != leaf.space.dtype and not np.can_cast(value.dtype, leaf.space.dtype, "same_kind"):
                raise ValueError(f"observation {key!r} is {value.dtype}, but its space says {leaf.space.dtype}")
            if problem := first_infinite(value):
                raise ValueError(f"observation {key!r} {problem}")
            if isinstance(leaf.feature, Discrete) or (isinstance(leaf.feature, Image) and leaf.space.dtype.kind == "f"):
                encode(f"observation {key!r}", leaf.space, leaf.feature, value[None])  # says if it is out of range

    def is_single(self, observation: Any) -> bool:
        """Whether this is the observation of one environment, without a leading axis."""
        leaf = next(iter(self.observation_leaves.values()))
        return np.ndim(leaf.pick(observation)) == len(leaf.space.shape or ())

    def encode_observation(self, observation: Any, rows: Any = slice(None)) -> dict[str, np.ndarray]:
        """A batch of Gymnasium observations, as the networks see it.

        Args:
            observation: as vector environments return it: structured like the space, with a leading axis N.
            rows: those of them that are taken, as an index.

        Returns:
            key → (N, *shape), uint8 for images, float32 for numbers, int32 from 0 for classes. Always copies.

        Raises:
            ValueError: a missing key, another shape, NaN or infinity, a class out of range.
        """
        encoded = {}
        for key, leaf in self.observation_leaves.items():
            value = np.asarray(leaf.pick(observation))
            value = value[rows] if value.ndim else value  # else its shape is reported
            encoded[key] = encode(f"observation {key!r}", leaf.space, leaf.feature, value)
        check_same_length("observation", encoded)
        return encoded

    def decode_action(self, action: Mapping[str, Any]) -> Any:
        """A batch of the policy's actions, as the environments take it.

        Numbers are mapped linearly from [-1, 1] to the bounds where both are finite, pass unscaled where one
        is not, and are clipped to whatever bound there is; integer spaces round them. Classes get the space's
        start added.

        Args:
            action: key → (N, *shape) real numbers, or integers from 0 for classes.

        Returns:
            Arrays with a leading axis N in the structure of the action space: what a vector environment's
            step takes.

        Raises:
            ValueError: other keys or another shape than the space's, NaN or infinity, a class out of range.
        """
        if set(action) != set(self.action_leaves):
            raise ValueError(f"the action has the keys {sorted(action)}, expected {sorted(self.action_leaves)}")
        decoded: dict[str, np.ndarray] = {}
        for key, leaf in self.action_leaves.items():
            value = np.asarray(action[key])
            decoded[key] = decode(f"action {key!r}", leaf.space, leaf.feature, value)
        check_same_length("action", decoded)
        return nest(self.action_space, {leaf.path: decoded[key] for key, leaf in self.action_leaves.items()})

    def zero_observation(self, n: int) -> dict[str, np.ndarray]:
        """Zeros in the shapes of `encode_observation`, key → (n, *shape)."""
        return zeros(self.observation, n)

    def zero_action(self, n: int) -> dict[str, np.ndarray]:
        """Zeros in the shapes that `decode_action` takes, key → (n, *shape): the action of a last step."""
        return zeros(self.action, n)

    def to_json(self) -> dict[str, Any]:
        """Both spaces in JSON's types, so that an agent can be loaded where its environment is not."""
        return {
            "observation": space_to_json(self.observation_space),
            "action": space_to_json(self.action_space),
        }

    @classmethod
    def from_json(cls, data: Any) -> Spaces:
        """The inverse of `to_json`.

        Raises:
            ValueError: anything that `to_json` doesn't write.
        """
        match data:
            case {"observation": observation, "action": action} if len(data) == 2:
                return cls(space_from_json("observation", observation), space_from_json("action", action))
        raise InputError(f"saved spaces are an object of 'observation' and 'action', got {data!r}")
