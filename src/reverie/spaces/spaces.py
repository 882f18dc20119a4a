"""`Spaces`: an environment's two spaces, and the conversion of their values.

May import: the other files of this package; Gymnasium and NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
import numpy as np

from reverie.errors import InputError
from reverie.spaces.features import Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import UnsupportedSpaceError, action_feature, caution, observation_feature
from reverie.spaces.leaves import EVERYTHING, Leaf, choose, guided, join, leaves, nest, unguided
from reverie.spaces.masks import link_mask, masks, unused_mask
from reverie.spaces.saving import space_from_json, space_to_json
from reverie.spaces.values import (
    as_array,
    check_same_length,
    decode,
    decode_observation,
    encode,
    encode_action,
    first_infinite,
    zeros,
)


@dataclass(frozen=True)
class Keys:
    """Regular expressions that select observations by their whole key; the last two match no key if empty."""

    taken: str = EVERYTHING
    """Observations of a Dict or Tuple that are used at all."""
    images: str = ""
    """Observations that are images although they don't look like it."""
    vectors: str = ""
    """Observations that are numbers although they look like images."""

    def spaces(self, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> Spaces:
        """The selected part of an environment's spaces."""
        return Spaces(choose(observation_space, self.taken), action_space, self.images, self.vectors)


@dataclass(frozen=True)
class Spaces:
    """The translation between the Gymnasium spaces of an environment and the features that the networks see.

    Keys of nested Dicts and indices of Tuples are joined with "/". A bare observation gets the key "image", "vector"
    (numbers) or "discrete", depending on its kind; a bare action gets the key "action".

    Raises:
        UnsupportedSpaceError: a space is not a Box, Discrete, MultiDiscrete, MultiBinary, or a Dict or Tuple of them,
            or is an image that the encoder does not support; names all of these. Or the mask does not fit the action.
    """

    observation_space: gym.Space[Any]
    """The observation space of a single environment."""
    action_space: gym.Space[Any]
    """The action space of a single environment."""
    image_keys: str = ""
    """A regular expression: observations that are images although they don't look like it; see `kinds`."""
    vector_keys: str = ""
    """A regular expression: observations that are numbers although they look like images."""
    observation: Mapping[str, Feature] = field(init=False, compare=False)
    """The observation's features by key, in sorted order."""
    action: Mapping[str, Continuous | Discrete] = field(init=False, compare=False)
    """The action's features by key, in sorted order."""
    observation_leaves: Mapping[str, Leaf] = field(init=False, compare=False, repr=False)
    action_leaves: Mapping[str, Leaf] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        found, problems = [], list[str]()
        for what, space, feature, guess in (
            ("observation", self.observation_space, observation_feature, guided(self.image_keys, self.vector_keys)),
            ("action", self.action_space, action_feature, unguided),
        ):
            try:
                found.append(leaves(what, space, feature, guess))
            except UnsupportedSpaceError as problem:
                problems.append(str(problem))
        if problems:
            raise UnsupportedSpaceError("; ".join(problems))
        observed, acted = link_mask(found[0], self.action_space, found[1])
        derived = {
            "observation_leaves": observed,
            "action_leaves": acted,
            "observation": {key: leaf.feature for key, leaf in observed.items()},
            "action": {key: leaf.feature for key, leaf in acted.items()},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    @property
    def mask(self) -> str | None:
        """The key of the observation that says which actions are allowed, if there is one."""
        return next(iter(masks(self.action).values()), None)

    @classmethod
    def from_env(cls, env: gym.Env[Any, Any]) -> Spaces:
        """The spaces of an environment."""
        return cls(env.observation_space, env.action_space)

    def check_observation(self, observation: Any) -> Any:
        """Check one unbatched observation against its space, before batching can hide an error.

        Returns:
            The observation in the structure of its space, with every value as a NumPy array.

        Raises:
            ValueError: a key is missing, a shape or dtype differs from the space's, or a number is not finite.
        """
        values = {}
        for key, leaf in self.observation_leaves.items():
            values[leaf.path] = value = as_array(f"observation {key!r}", leaf.pick(observation))
            if value.shape != leaf.space.shape:
                raise ValueError(f"observation {key!r} has shape {value.shape}, but its space has {leaf.space.shape}")
            if value.dtype != leaf.space.dtype and not np.can_cast(value.dtype, leaf.space.dtype, "same_kind"):
                raise ValueError(f"observation {key!r} is {value.dtype}, but its space is {leaf.space.dtype}")
            if problem := first_infinite(value):
                raise ValueError(f"observation {key!r} {problem}")
            if isinstance(leaf.feature, Discrete) or (isinstance(leaf.feature, Image) and leaf.scale is not None):
                encode(f"observation {key!r}", leaf, value[None])  # raises if it is out of range
        return nest(self.observation_space, values)

    def is_single(self, observation: Any) -> bool:
        """Whether this is the observation of a single environment, without a batch axis."""
        leaf = next(iter(self.observation_leaves.values()))
        return np.ndim(leaf.pick(observation)) == len(leaf.space.shape or ())

    def encode_observation(self, observation: Any, rows: Any = slice(None)) -> dict[str, np.ndarray]:
        """Convert a batch of Gymnasium observations to the networks' features.

        Args:
            observation: batched as vector environments return it: in the structure of the space, with a leading axis N.
            rows: an index that selects some of the rows.

        Returns:
            key → (N, *shape): uint8 for images, float32 for numbers, int32 from 0 for classes. Always copies.

        Raises:
            ValueError: a key is missing, a shape differs, a number is not finite, or a class is out of range.
        """
        encoded = {}
        for key, leaf in self.observation_leaves.items():
            value = as_array(f"observation {key!r}", leaf.pick(observation))
            value = value[rows] if value.ndim else value  # a scalar's shape is reported by encode
            encoded[key] = encode(f"observation {key!r}", leaf, value)
        check_same_length("observation", encoded)
        return encoded

    def decode_action(self, action: Mapping[str, Any]) -> Any:
        """Convert a batch of the policy's actions to the environments' action space.

        Numbers are mapped linearly from [-1, 1] to the bounds if both are finite, left unscaled otherwise, and clipped
        to any finite bound; integer spaces round them. Classes are shifted by the space's start.

        Args:
            action: key → (N, *shape): real numbers, or integers from 0 for classes.

        Returns:
            Arrays with a leading axis N in the structure of the action space, as vector environments accept them.

        Raises:
            ValueError: keys or shapes differ from the space's, a number is not finite, or a class is out of range.
        """
        return _decode("action", self.action_space, self.action_leaves, action, decode)

    def decode_observation(self, features: Mapping[str, Any]) -> Any:
        """Convert a batch of features to observations: the inverse of `encode_observation`.

        Args:
            features: key → (N, *shape): uint8 for images, numbers, and integers from 0 for classes.

        Returns:
            Arrays with a leading axis N in the structure of the observation space, within its bounds.

        Raises:
            ValueError: keys or shapes differ from the space's, a number is not finite, or a class is out of range.
        """
        return _decode("observation", self.observation_space, self.observation_leaves, features, decode_observation)

    def encode_action(self, action: Any) -> dict[str, np.ndarray]:
        """Convert a batch of the environments' actions to the policy's: the inverse of `decode_action`.

        Args:
            action: in the structure of the action space, with a leading axis N.

        Returns:
            key → (N, *shape): float32 in [-1, 1] where both bounds are finite, int32 from 0 for classes.

        Raises:
            ValueError: a key is missing, a shape differs, a number is not finite, or a class is out of range.
        """
        encoded = {}
        for key, leaf in self.action_leaves.items():
            label = f"action {key!r}"
            encoded[key] = encode_action(label, leaf, as_array(label, leaf.pick(action, "action")))
        check_same_length("action", encoded)
        return encoded

    def zero_observation(self, n: int) -> dict[str, np.ndarray]:
        """Zeros in the shapes of `encode_observation`, key → (n, *shape)."""
        return zeros(self.observation, n)

    def zero_action(self, n: int) -> dict[str, np.ndarray]:
        """Zeros in the shapes of `decode_action`'s input, key → (n, *shape): the action recorded at a last step."""
        return zeros(self.action, n)

    def to_json(self) -> dict[str, Any]:
        """Both spaces in JSON's types, so that an agent can be loaded without its environment."""
        chosen = {"image_keys": self.image_keys, "vector_keys": self.vector_keys}
        return {
            "observation": space_to_json(self.observation_space),
            "action": space_to_json(self.action_space),
            **{name: keys for name, keys in chosen.items() if keys},
        }

    def select(self, keys: str) -> Spaces:
        """The spaces with only the mask and the observations whose keys fully match the regular expression `keys`."""
        return replace(self, observation_space=choose(self.observation_space, keys, masks(self.action).values()))

    def fits(self, other: Spaces) -> bool:
        """Whether an agent for these spaces can be used with others: all but the bounds of numbers must agree."""
        return self._contract() == other._contract()

    def _contract(self) -> Any:
        """What networks depend on: features, and how values become images and actions."""
        observed = {key: (leaf.feature, _image_contract(leaf)) for key, leaf in self.observation_leaves.items()}
        acted = {key: (leaf.path, leaf.feature) for key, leaf in self.action_leaves.items()}
        return observed, acted, space_to_json(self.action_space)

    def cautions(self) -> list[str]:
        """Sentences about observations that may not have become what their author expects."""
        guess = guided(self.image_keys, self.vector_keys)
        seen = self.observation_leaves.items()
        found = [caution(key, leaf.space, leaf.feature, guess(join(leaf.path))) for key, leaf in seen]
        found.append(unused_mask(self.observation_leaves, self.action_space))
        return [sentence for sentence in found if sentence]

    @classmethod
    def from_json(cls, data: Any) -> Spaces:
        """The inverse of `to_json`.

        Raises:
            InputError: the data were not written by `to_json`.
        """
        names = {"observation", "action"}
        if isinstance(data, Mapping) and names <= set(data) <= names | {"image_keys", "vector_keys"}:
            both = (space_from_json(name, data[name]) for name in ("observation", "action"))
            keys = [data.get(name, "") for name in ("image_keys", "vector_keys")]
            if all(isinstance(one, str) for one in keys):
                return cls(*both, *keys)
        raise InputError(f"Saved spaces must be an object with 'observation' and 'action', got {data!r}.")


def _decode(
    what: str,
    space: gym.Space[Any],
    leaves: Mapping[str, Leaf],
    values: Mapping[str, Any],
    convert: Callable[[str, Leaf, np.ndarray], np.ndarray],
) -> Any:
    """Values by key in the structure of the space, each converted."""
    if set(values) != set(leaves):
        raise ValueError(f"the {what} has the keys {sorted(values)}, expected {sorted(leaves)}")
    decoded = {key: convert(f"{what} {key!r}", leaf, np.asarray(values[key])) for key, leaf in leaves.items()}
    check_same_length(what, decoded)
    return nest(space, {leaf.path: decoded[key] for key, leaf in leaves.items()})


def _image_contract(leaf: Leaf) -> Any:
    """How values become an image."""
    if not isinstance(leaf.feature, Image):
        return None
    return leaf.order, None if leaf.scale is None else [one.tolist() for one in leaf.scale]
