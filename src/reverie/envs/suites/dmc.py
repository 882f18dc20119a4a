"""DeepMind Control (section 5), from proprioception or pixels. Extra `dmc`: dm-control and MuJoCo."""

from typing import Any

import gymnasium as gym
import numpy as np

from reverie.envs import drawing
from reverie.envs.from_dm_env import FILM, FromDMEnv
from reverie.errors import InputError

drawing.choose_backend()  # read when dm_control is imported

from dm_control import suite  # noqa: E402

SIDE = 64  # pixels
CAMERAS = {"quadruped": 2}  # the others use camera 0


class DeepMindControl(FromDMEnv):
    """A task of the suite; its time limit truncates episodes.

    Args:
        domain: of the task, such as "walker".
        task: such as "walk".
        pixels: observe an image, uint8 (64, 64, 3), instead of numbers.
        fast_drawing: see `drawing.simplify`.
        render_mode: "rgb_array" for frames of 240 × 240.
    """

    def __init__(
        self,
        domain: str,
        task: str,
        *,
        pixels: bool,
        fast_drawing: bool | None = None,
        render_mode: str | None = None,
    ) -> None:
        self._domain, self._task, self._pixels, self._fast = domain, task, pixels, fast_drawing
        self._draws = pixels or render_mode is not None
        super().__init__(self._load(), remake=self._load, render_mode=render_mode)
        if pixels:
            self.observation_space = gym.spaces.Dict({"image": gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)})

    def render(self) -> Any:
        return self._draw(FILM) if self.render_mode == "rgb_array" else None

    def _load(self, seed: int | None = None) -> Any:
        env = suite.load(self._domain, self._task, task_kwargs={"random": seed})
        if self._draws:
            drawing.simplify(env.physics.model, self._fast)
        return env

    def _observe(self, time_step: Any) -> Any:
        return {"image": self._draw(SIDE)} if self._pixels else super()._observe(time_step)

    def _draw(self, side: int) -> np.ndarray:
        return self._env.physics.render(side, side, camera_id=CAMERAS.get(self._domain, 0))


def make(task: str, **kwargs: Any) -> DeepMindControl:
    """A task as DOMAIN_TASK, for example "walker_walk" or "ball_in_cup_catch"."""
    for domain, name in suite.ALL_TASKS:
        if f"{domain}_{name}" == task:
            return DeepMindControl(domain, name, **kwargs)
    tasks = ", ".join(f"{domain}_{name}" for domain, name in suite.BENCHMARKING)
    raise InputError(f"There is no DeepMind Control task {task!r}; available: {tasks}, and more.")
