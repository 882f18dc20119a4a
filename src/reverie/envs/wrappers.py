"""Optional wrappers: action repeat and time limit. May import: `reverie.spaces`, `masks`; Gymnasium."""

from typing import Any

import gymnasium as gym
from gymnasium.spaces import Discrete
from gymnasium.wrappers import TimeLimit

from reverie.envs.masks import MaskFromInfo, find_mask
from reverie.spaces.masks import allows


def wrapped(
    env: gym.Env[Any, Any], *, time_limit: int, action_repeat: int, mask_from_info: bool = False
) -> gym.Env[Any, Any]:
    """The environment with an action repeat (1: none) and, around it, a time limit in decisions (0: none)."""
    if mask_from_info:
        env = MaskFromInfo(env)
    if action_repeat > 1:
        env = ActionRepeat(env, action_repeat)
    return TimeLimit(env, time_limit) if time_limit else env


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any]):
    """Repeats every action until the episode ends, or until a mask forbids it.

    Returns the sum of the rewards and the last of everything else.
    """

    def __init__(self, env: gym.Env[Any, Any], repeat: int) -> None:
        super().__init__(env)
        self._repeat = repeat

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        for _ in range(self._repeat - 1):
            if terminated or truncated or self._forbidden(action, find_mask(observation, info)):
                break
            observation, more, terminated, truncated, info = self.env.step(action)
            reward = reward + more  # type: ignore[operator]
        return observation, reward, terminated, truncated, info  # type: ignore[return-value]

    def _forbidden(self, action: Any, mask: Any) -> bool:
        if mask is None or not isinstance(self.action_space, Discrete):
            return False
        return not allows(mask, self.action_space, action)
