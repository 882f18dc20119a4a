"""Crafter, with rewards (section 5). Extra `crafter`. Its worlds differ between processes even for the same seed."""

from typing import Any

import crafter
import gymnasium as gym
import numpy as np

from reverie.errors import InputError


class Crafter(gym.Env[np.ndarray, Any]):
    """Survive and unlock achievements; death terminates the episode, 10,000 steps truncate it."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012, Gymnasium's convention

    def __init__(self, *, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._env = crafter.Env()
        self.observation_space = gym.spaces.Box(0, 255, (64, 64, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(self._env.action_names))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._env = crafter.Env(seed=seed)
        return self._env.reset(), {}

    def step(self, action: int | np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, done, info = self._env.step(int(action))
        terminated = done and info["discount"] == 0
        return observation, float(reward), terminated, done and not terminated, {"achievements": info["achievements"]}

    def render(self) -> Any:
        return self._env.render((256, 256)) if self.render_mode == "rgb_array" else None


def make(task: str, **kwargs: Any) -> Crafter:
    """Crafter's only task."""
    if task:
        raise InputError(f"Crafter has no tasks, got {task!r}: its name is 'crafter'.")
    return Crafter(**kwargs)
