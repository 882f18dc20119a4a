"""Meta-World manipulation tasks from proprioception, one at a time (MT1). Extra `metaworld`."""

from typing import Any

from reverie.envs import drawing
from reverie.envs.suites import unknown

drawing.choose_backend()  # read when MuJoCo is imported

import gymnasium as gym  # noqa: E402
import metaworld  # noqa: E402
import numpy as np  # noqa: E402

CAMERA = "corner2"


class MetaWorld(gym.Env[np.ndarray, np.ndarray]):
    """A task; each episode has one of its 50 goals and is truncated after 500 steps.

    The info's "success" is 1 in steps that reach the goal.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 80}  # noqa: RUF012, Gymnasium's convention

    def __init__(self, task: str, *, render_mode: str | None = None) -> None:
        self._task, self.render_mode = task, render_mode
        self._load(seed=None)
        self.action_space = self._env.action_space
        # The package's bounds are wrong for goals that are part of the observation.
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, self._env.observation_space.shape, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.close()
            self._load(seed)
        observation, info = self._env.reset()
        return observation.astype(np.float32), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self._env.step(action)
        return observation.astype(np.float32), float(reward), terminated, truncated, info

    def render(self) -> Any:
        return self._env.render()

    def close(self) -> None:
        self._env.close()

    def _load(self, seed: int | None) -> None:
        """Recreate the task, the only way to seed it."""
        self._env = gym.make(
            "Meta-World/MT1",
            env_name=self._task,
            seed=seed,
            render_mode=self.render_mode,
            camera_name=CAMERA,
            disable_env_checker=True,
        )
        drawing.simplify_env(self._env)


def make(task: str, **kwargs: Any) -> MetaWorld:
    """A task by name, for example "reach-v3"."""
    known = sorted(metaworld.ALL_V3_ENVIRONMENTS)
    if task not in known:
        raise unknown("Meta-World task", task, known)
    return MetaWorld(task, **kwargs)
