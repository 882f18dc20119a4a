"""Checks of everything that an environment returns, before batching: NumPy casts and broadcasts silently.

May import: `reverie.spaces`, `reverie.errors`; Gymnasium.
"""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np

from reverie.errors import InputError
from reverie.spaces import EVERYTHING, Spaces, choose, restrict
from reverie.spaces.values import LARGEST


class BrokenEnvironmentError(InputError):
    """An environment returned something that cannot be learned from; the message names the environment and value."""


class Guarded(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose observations must fit its space and whose rewards must be finite numbers.

    Only observations selected by `keys` are returned; the others are neither checked nor batched.
    """

    def __init__(self, env: gym.Env[Any, Any], index: int, keys: str = EVERYTHING) -> None:
        super().__init__(env)
        self._index = index
        self._choosing = keys != EVERYTHING
        self.observation_space = choose(env.observation_space, keys)
        self._spaces = Spaces(self.observation_space, env.action_space)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        return self._checked(observation), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        return self._checked(observation), self._number(reward), bool(terminated), bool(truncated), info

    def _checked(self, observation: Any) -> Any:
        try:
            if self._choosing:
                observation = restrict(self.observation_space, observation)
            self._spaces.check_observation(observation)
        except ValueError as error:
            raise BrokenEnvironmentError(f"environment {self._index}: {error}") from error
        return observation

    def _number(self, reward: Any) -> float:
        try:
            number = float(reward) if getattr(reward, "ndim", 0) == 0 else np.nan
        except (TypeError, ValueError):
            number = np.nan
        if not abs(number) <= LARGEST:  # also catches NaN
            raise BrokenEnvironmentError(
                f"environment {self._index} returned the reward {reward!r}, which must be one finite number"
            )
        return number
