"""Wrappers that copy the mask of the allowed actions from the info into the observation, where Reverie expects it.

May import: `reverie.spaces`, `reverie.errors`, `guard`; Gymnasium.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.spaces import Dict, MultiBinary
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from reverie.envs.guard import BrokenEnvironmentError
from reverie.errors import InputError
from reverie.spaces import MASK, can_be_masked


def lacks_mask(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> bool:
    """Whether actions can be masked, but the observation has no mask."""
    masked = isinstance(observation_space, Dict) and MASK in observation_space.spaces
    return can_be_masked(action_space) and not masked


def find_mask(observation: Any, info: Mapping[str, Any]) -> Any:
    """The mask in an observation or else in an info; None if there is none."""
    holder = observation if isinstance(observation, Mapping) and MASK in observation else info
    return holder.get(MASK)


class MaskFromInfo(gym.Wrapper[Any, Any, Any, Any]):
    """Copies the mask of the allowed actions from `info["action_mask"]` into the observation.

    A `Dict` observation gets one more entry, `action_mask`; any other becomes the entry `observation` of a `Dict`. The
    info of an episode's last step may lack the mask.

    Raises:
        InputError: the action space is not `Discrete`, or the observation has a mask already.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = _with_mask(env.observation_space, env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._add_mask(observation, info, last=False), info

    def step(self, action: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._add_mask(observation, info, last=terminated or truncated), reward, terminated, truncated, info

    def _add_mask(self, observation: Any, info: Mapping[str, Any], last: Any) -> dict[str, Any]:
        if MASK not in info and not last:
            raise BrokenEnvironmentError(
                f"the info lacks {MASK!r}, which the info of the first reset had: return it from every reset and step"
            )
        mask = info.get(MASK, _nothing(self.env.action_space))
        return {**_entries(self.env.observation_space, observation), MASK: mask}


class VectorMaskFromInfo(VectorWrapper[Any, Any, Any, Any, Any]):
    """`MaskFromInfo` for a VectorEnv. Environments whose info has no mask get one that allows nothing."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self.single_observation_space = _with_mask(env.single_observation_space, env.single_action_space)
        self.observation_space = batch_space(self.single_observation_space, env.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        return self.add_mask(*self.env.reset(seed=seed, options=options))

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(actions)
        observation, info = self.add_mask(observation, info)
        return observation, reward, terminated, truncated, info

    def add_mask(self, observation: Any, info: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """The observation with the mask in the info, and the info with the masks of final observations."""
        space, info = self.env.single_observation_space, dict(info)
        if "final_obs" in info:
            final, rows = info["final_obs"], self._rows(info.get("final_info", {}))
            if isinstance(final, np.ndarray) and final.dtype == object:  # one per environment, None where there is none
                pairs = zip(final, rows, strict=True)
                masked = [None if one is None else {**_entries(space, one), MASK: row} for one, row in pairs]
                info["final_obs"] = np.array([*masked, None], object)[:-1]  # NumPy must not look into the entries
            else:
                info["final_obs"] = {**_entries(space, final), MASK: rows}
        return {**_entries(space, observation), MASK: self._rows(info)}, info

    def _rows(self, info: Any) -> np.ndarray:
        """The masks in a batched info, (N, n)."""
        nothing = _nothing(self.env.single_action_space)
        given = info[MASK] if isinstance(info, Mapping) and MASK in info else [None] * self.num_envs
        rows = [nothing if row is None else np.asarray(row) for row in given]
        for index, row in enumerate(rows):
            if row.shape != nothing.shape:
                raise BrokenEnvironmentError(
                    f"environment {index}: info[{MASK!r}] has shape {row.shape}, expected {nothing.shape}"
                )
        return np.stack(rows)


def _with_mask(observation_space: gym.Space[Any], action_space: Any) -> gym.Space[Any]:
    if not lacks_mask(observation_space, action_space):
        raise InputError(
            f"MaskFromInfo needs a Discrete action space and an observation without {MASK!r}, got "
            f"{action_space} and {observation_space}."
        )
    return Dict({**_entries(observation_space, observation_space), MASK: MultiBinary(int(action_space.n))})


def _entries(space: gym.Space[Any], value: Any) -> dict[str, Any]:
    """The entries of an observation, or of its space: those of a Dict, else a single one called `observation`."""
    return dict(value) if isinstance(space, Dict) else {"observation": value}


def _nothing(action_space: Any) -> np.ndarray:
    """The mask that allows no action."""
    return np.zeros(int(action_space.n), np.int8)
