"""ProcGen games: all levels in the hard mode, rendered at 96 × 96 (section 5).

Extra `procgen`: EnvPool (Apache-2.0), which includes the games and works with current versions of NumPy, and Qt
(LGPL-3.0), which renders them.
"""

import ctypes
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import PyQt5

from reverie.envs.suites import unknown

for _part in ("Core", "Gui"):  # the games link to these; the system may lack them, so load PyQt5's first
    _library = Path(next(iter(PyQt5.__path__)), "Qt5", "lib", f"libQt5{_part}.so.5")
    ctypes.CDLL(str(_library), mode=ctypes.RTLD_GLOBAL)

import envpool  # noqa: E402
from envpool.procgen.registration import procgen_game_config  # noqa: E402

GAMES = [game for game, *_ in procgen_game_config]
SIDE = 96  # pixels per side


class ProcGen(gym.Env[np.ndarray, Any]):
    """One game with a new level in each episode; running out of time truncates it.

    Args:
        game: such as "coinrun".
        render_mode: "rgb_array" for frames, which equal the observations.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012, Gymnasium's convention

    def __init__(self, game: str, *, render_mode: str | None = None) -> None:
        self._game, self.render_mode = game, render_mode
        self._load(seed=0)
        self.observation_space = gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
        self.action_space = gym.spaces.Discrete(int(self._pool.action_space.n))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.close()
            self._load(seed)
        self._pool.reset()
        return self._draw(), {}

    def step(self, action: int | np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        _, reward, terminated, truncated, _ = self._pool.step(np.array([action]))
        return self._draw(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), {}

    def render(self) -> Any:
        return self._draw() if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        self._pool.close()

    def _load(self, seed: int) -> None:
        """Create a pool of one environment, the only way to seed it."""
        self._pool = envpool.make(
            f"{self._game.capitalize()}Hard-v0",
            env_type="gymnasium",
            num_envs=1,
            seed=seed,
            render_mode="rgb_array",
            render_width=SIDE,
            render_height=SIDE,
        )

    def _draw(self) -> np.ndarray:
        return self._pool.render()[0]


def make(task: str, **kwargs: Any) -> ProcGen:
    """A game by name, for example "coinrun"."""
    if task not in GAMES:
        raise unknown("ProcGen game", task, GAMES)
    return ProcGen(task, **kwargs)
