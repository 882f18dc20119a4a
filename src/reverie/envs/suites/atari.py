"""Atari games with the paper's preprocessing (section 5): action repeat, max over two frames, no-ops at the start.

Extra `atari`: ale-py (GPL-2.0), which includes the games, and Pillow.
"""

from typing import Any

import ale_py
import gymnasium as gym
import numpy as np
from ale_py import roms
from PIL import Image

from reverie.envs.suites import unknown

REPEAT = 4  # frames per action
POOLED = 2  # final frames to take the maximum of: sprites flicker
MAX_NOOPS = 30  # the most no-ops before an episode starts
MAX_FRAMES = 108_000  # half an hour


class Atari(gym.Env[np.ndarray, Any]):
    """One game; a step is one decision of four frames. Rewards are the unclipped game score.

    Args:
        game: the name of a ROM, such as "pong" or "space_invaders".
        size: of the image, (width, height).
        gray: observe one channel instead of three.
        sticky: the probability that a frame repeats the previous action.
        minimal_actions: only the actions that the game uses, instead of all 18.
        render_mode: "rgb_array" for unprocessed frames.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012, Gymnasium's convention

    def __init__(
        self,
        game: str,
        *,
        size: tuple[int, int],
        gray: bool,
        sticky: float,
        minimal_actions: bool,
        render_mode: str | None = None,
    ) -> None:
        self.render_mode = render_mode
        self._size, self._gray, self._sticky = size, gray, sticky
        self._rom = _rom(game)
        self._load(seed=0)
        self._actions = self._ale.getMinimalActionSet() if minimal_actions else self._ale.getLegalActionSet()
        height, width = self._ale.getScreenDims()
        self._frames = np.zeros((POOLED, height, width, *(() if gray else (3,))), np.uint8)  # the newest first
        self.observation_space = gym.spaces.Box(0, 255, (size[1], size[0], 1 if gray else 3), np.uint8)
        self.action_space = gym.spaces.Discrete(len(self._actions))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self._load(seed)
        self._ale.reset_game()
        for _ in range(self.np_random.integers(MAX_NOOPS + 1)):
            self._ale.act(ale_py.Action.NOOP)
            if self._ale.game_over():
                self._ale.reset_game()
        self._look()
        self._frames[1:] = 0
        return self._observe(), {}

    def step(self, action: int | np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward = 0.0
        for frame in range(REPEAT):
            reward += self._ale.act(self._actions[action])
            if frame >= REPEAT - POOLED:
                self._look()
            if self._ale.game_over():
                break
        over = self._ale.game_over()
        late = self._ale.getEpisodeFrameNumber() >= MAX_FRAMES  # no-ops included
        return self._observe(), reward, over, late and not over, {}

    def render(self) -> Any:
        return self._ale.getScreenRGB() if self.render_mode == "rgb_array" else None

    def _load(self, seed: int) -> None:
        """Recreate the emulator, the only way to set its seed and stickiness."""
        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale = ale_py.ALEInterface()
        self._ale.setInt("random_seed", seed)
        self._ale.setFloat("repeat_action_probability", self._sticky)
        self._ale.loadROM(self._rom)

    def _look(self) -> None:
        self._frames[1:] = self._frames[:-1]
        self._frames[0] = self._ale.getScreenGrayscale() if self._gray else self._ale.getScreenRGB()

    def _observe(self) -> np.ndarray:
        resized = Image.fromarray(self._frames.max(0)).resize(self._size, Image.Resampling.BILINEAR)
        return np.asarray(resized).reshape(self.observation_space.shape)  # type: ignore[arg-type]


def _rom(game: str) -> Any:
    known = sorted(roms.get_all_rom_ids())
    if game not in known:
        raise unknown("Atari game", game, known)
    return roms.get_rom_path(game)


def make(task: str, **kwargs: Any) -> Atari:
    """A game by the name of its ROM."""
    return Atari(task, **kwargs)
