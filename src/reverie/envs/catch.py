"""Catch: a ball falls, a paddle moves. Solved within minutes, so it shows quickly whether learning works.

May import: `errors`; Gymnasium. Registered as "reverie/Catch-v0" (pixels) and "reverie/CatchVector-v0".
"""

from __future__ import annotations

from typing import Any, Literal

import gymnasium as gym
import numpy as np

from reverie.errors import InputError

SIDE = 64  # of the image, in pixels
BACKGROUND, BALL, PADDLE = (20, 24, 40), (250, 220, 90), (90, 200, 250)


class Catch(gym.Env[np.ndarray, np.int64]):
    """Catch falling balls with a paddle: +1 for a catch, -1 for a miss, 0 otherwise.

    Actions: 0 left, 1 stay, 2 right. In every step the paddle moves, then the ball falls by one row. A ball starts at
    the top of a random column, and the next one appears in the step after it has landed. The paddle starts each
    episode in the middle. The episode terminates when the last ball lands.

    The ball's column is uniform and independent of everything before it, so a blind policy catches one ball in
    `columns`: a return of balls · (2 / columns - 1), -0.75 by default. A perfect policy returns `balls`.

    Args:
        columns: of the grid, 2 to 64.
        rows: at least as many as columns, so that every ball can be caught.
        balls: per episode.
        observation: "image": uint8 (64, 64, 3). "vector": float32 (4,), the ball's x and y and the paddle's x, each
            from -1 to 1 (left to right, top to bottom), and the ball's offset to the right of the paddle as a
            fraction of the width. The offset makes the task easy: a catch is a zero.
        render_mode: "rgb_array" or None.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 8}  # noqa: RUF012, Gymnasium's convention

    def __init__(
        self,
        columns: int = 8,
        rows: int = 8,
        balls: int = 1,
        observation: Literal["image", "vector"] = "image",
        render_mode: Literal["rgb_array"] | None = None,
    ) -> None:
        if not 2 <= columns <= rows <= SIDE:
            raise InputError(f"expected 2 ≤ columns ≤ rows ≤ {SIDE}, got columns={columns}, rows={rows}")
        if balls < 1:
            raise InputError(f"an episode needs at least one ball, got {balls}")
        if observation not in ("image", "vector"):
            raise InputError(f'observation is "image" or "vector", got {observation!r}')
        self.columns, self.rows, self.balls = columns, rows, balls
        self.render_mode = render_mode
        self.action_space = gym.spaces.Discrete(3)
        self._as_image = observation == "image"
        self.observation_space = (
            gym.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8)
            if self._as_image
            else gym.spaces.Box(-1, 1, (4,), np.float32)
        )
        # For drawing: the pixels of each column and row, and the colors.
        self._xs = [slice(i * SIDE // columns, (i + 1) * SIDE // columns) for i in range(columns)]
        self._ys = [slice(i * SIDE // rows, (i + 1) * SIDE // rows) for i in range(rows)]
        self._floor = slice((self._ys[-1].start + SIDE) // 2, SIDE)  # a ball that has landed stays visible above it
        self._empty = np.full((SIDE, SIDE, 3), BACKGROUND, np.uint8)
        self._colours = np.array([BALL, PADDLE], np.uint8)

    @property
    def chance_return(self) -> float:
        """The expected return of a policy that ignores its observations."""
        return self.balls * (2 / self.columns - 1)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._paddle = self.columns // 2
        self._arrived = 0
        self._drop()
        return self._observe(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._paddle = min(max(self._paddle + int(action) - 1, 0), self.columns - 1)
        reward = 0.0
        if self._y == self.rows - 1:
            self._drop()
        else:
            self._y += 1
            if self._y == self.rows - 1:
                self._arrived += 1
                reward = 1.0 if self._paddle == self._x else -1.0
        return self._observe(), reward, self._arrived == self.balls, False, {}

    def render(self) -> np.ndarray | None:
        return self._draw() if self.render_mode == "rgb_array" else None

    def _drop(self) -> None:
        self._x = int(self.np_random.integers(self.columns))
        self._y = 0

    def _observe(self) -> np.ndarray:
        if self._as_image:
            return self._draw()
        across, down = 2 / (self.columns - 1), 2 / (self.rows - 1)
        offset = (self._x - self._paddle) / (self.columns - 1)
        return np.array([self._x * across - 1, self._y * down - 1, self._paddle * across - 1, offset], np.float32)

    def _draw(self) -> np.ndarray:
        image = self._empty.copy()
        image[self._ys[self._y], self._xs[self._x]] = self._colours[0]
        image[self._floor, self._xs[self._paddle]] = self._colours[1]
        return image
