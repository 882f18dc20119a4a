"""What is put around an environment on demand. May import: nothing of Reverie; Gymnasium, which has the time limit."""

from typing import Any

import gymnasium as gym
from gymnasium.wrappers import TimeLimit


def wrapped(env: gym.Env[Any, Any], *, time_limit: int, action_repeat: int) -> gym.Env[Any, Any]:
    """The environment with an action repeat (1: none) and, around that, a limit in decisions (0: none)."""
    if action_repeat > 1:
        env = ActionRepeat(env, action_repeat)
    return TimeLimit(env, time_limit) if time_limit else env


class ActionRepeat(gym.Wrapper[Any, Any, Any, Any]):
    """Does every action `repeat` times, or until the episode ends: the sum of the rewards, the last of the rest."""

    def __init__(self, env: gym.Env[Any, Any], repeat: int) -> None:
        super().__init__(env)
        self._repeat = repeat

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        for _ in range(self._repeat - 1):
            if terminated or truncated:
                break
            observation, more, terminated, truncated, info = self.env.step(action)
            reward = reward + more  # type: ignore[operator]
        return observation, reward, terminated, truncated, info  # type: ignore[return-value]
