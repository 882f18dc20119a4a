"""DeepMind Control by DOMAIN_TASK (section 5), from numbers or from pixels. Extra `dmc`: dm-control and MuJoCo.

Without a display, pixels are drawn through EGL, unless MUJOCO_GL says otherwise.
"""

import os
import sys
from typing import Any

if sys.platform == "linux" and "DISPLAY" not in os.environ:
    os.environ.setdefault("MUJOCO_GL", "egl")  # read when dm_control is imported

import gymnasium as gym
import numpy as np
from dm_control import suite
from dm_env import specs

from reverie.errors import InputError

SIDE = 64  # pixels
CAMERAS = {"quadruped": 2}  # others look through camera 0


class DeepMindControl(gym.Env[Any, np.ndarray]):
    """A task of the suite; episodes end by its time limit, which is no terminal."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 40}  # noqa: RUF012, as Gymnasium has it

    def __init__(self, domain: str, task: str, *, pixels: bool, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self._domain, self._task, self._pixels = domain, task, pixels
        self._camera = CAMERAS.get(domain, 0)
        self._load(seed=None)
        bounds = self._env.action_spec()
        self.action_space = gym.spaces.Box(
            bounds.minimum.astype(np.float32), bounds.maximum.astype(np.float32), bounds.shape, np.float32
        )
        spaces: dict[str, gym.Space[Any]] = {"image": gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)}
        if not pixels:
            spaces = {name: _space(spec) for name, spec in self._env.observation_spec().items()}
        self.observation_space = gym.spaces.Dict(spaces)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._load(seed)
        return self._observe(self._env.reset()), {}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        time_step = self._env.step(action)
        terminated = time_step.last() and time_step.discount == 0
        return (
            self._observe(time_step),
            float(time_step.reward or 0),
            terminated,
            time_step.last() and not terminated,
            {},
        )

    def render(self) -> Any:
        return self._draw(240) if self.render_mode == "rgb_array" else None

    def _load(self, seed: int | None) -> None:
        self._env = suite.load(self._domain, self._task, task_kwargs={"random": seed})

    def _observe(self, time_step: Any) -> dict[str, np.ndarray]:
        if self._pixels:
            return {"image": self._draw(SIDE)}
        return {name: np.asarray(value, np.float32) for name, value in time_step.observation.items()}

    def _draw(self, side: int) -> np.ndarray:
        return self._env.physics.render(side, side, camera_id=self._camera)


def _space(spec: specs.Array) -> gym.spaces.Box:
    return gym.spaces.Box(-np.inf, np.inf, spec.shape, np.float32)


def make(task: str, **kwargs: Any) -> DeepMindControl:
    """A task as DOMAIN_TASK, for instance "walker_walk" or "ball_in_cup_catch"."""
    for domain, name in suite.ALL_TASKS:
        if f"{domain}_{name}" == task:
            return DeepMindControl(domain, name, **kwargs)
    tasks = ", ".join(f"{domain}_{name}" for domain, name in suite.BENCHMARKING)
    raise InputError(f"DeepMind Control has no task {task!r}; there are {tasks}, and more.")
