"""An environment that misbehaves in a chosen way, once or always. Its observations tell the time within the episode."""

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import SyncVectorEnv

LENGTH = 5  # steps of an episode

NAN, INF = float("nan"), float("inf")
VALUES: dict[str, Any] = {
    "None": None,
    "text": "text",
    "NaN": NAN,
    "Inf": INF,
    "-Inf": -INF,
    "10^400": 10**400,
    "list": [1.0, 2.0],
    "object": object(),
    "bytes": b"x",
    "shape": np.zeros((3, 3), np.float32),
    "empty": np.zeros(0, np.float32),
    "complex": 1j,
    "dict": {"a": 1},
    "ragged": [[1.0], [1.0, 2.0]],
    "nested": [[[[1.0]]]],
    "strings": np.array(["a", "b"]),
    "objects": np.array([None, 1], object),
    "NaN array": np.full(2, NAN, np.float32),
    "Inf array": np.full(2, INF, np.float64),
    "datetime": np.array(["2020", "2021"], "datetime64[Y]"),
    "out of bounds": np.full(2, 1e30, np.float32),
    "too large": np.full(2, 1e300),
}
PARTS = ("observation", "reward", "terminated", "truncated", "info")
DONE = {"raise", "exit", "interrupt", "die", "hang"}


class Misbehaving(gym.Env[Any, Any]):
    """Misbehaves as `fault` says, such as "raise in step" or "reward: NaN".

    Args:
        fault: what it does.
        after: how many steps of this copy go well before.
        mark: a file that is made when it happens; while it exists, nothing happens. Empty: it happens always.
    """

    observation_space = gym.spaces.Box(-1e6, 1e6, (2,), np.float32)
    action_space = gym.spaces.Discrete(3)
    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012, Gymnasium's convention

    def __init__(self, fault: str, after: int = 0, mark: str = "") -> None:
        self.fault, self.after, self.mark = fault, after, mark
        self.steps = self.time = self.episode = 0
        self.buffer = np.zeros(2, np.float32)
        self._do("init")

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._do("reset")
        self.time, self.episode = 0, self.episode + 1
        result = self._observation(), {}
        if self.fault == "reset returns no info" and self._now():
            return result[0]
        if self.fault.startswith("reset observation: ") and self._now():
            return VALUES[self.fault.partition(": ")[2]], {}
        return result

    def step(self, action: Any) -> Any:
        self.steps += 1
        self._do("step")
        self.time += 1
        ended = self.time == LENGTH
        result = dict(zip(PARTS, (self._observation(), 1.0, ended, False, {"time": self.time}), strict=True))
        part, _, value = self.fault.partition(": ")
        if part in PARTS and self._now():
            result[part] = VALUES[value]
        if self.fault == "step returns 4 values" and self._now():
            return result["observation"], 1.0, ended, {}
        if self.fault == "prints":
            sys.stdout.write("x" * 200_000 + "\n")
            os.write(1, b"\xff\x00\x1b[2J" * 10_000)
        if self.fault == "shares buffers":
            self.buffer[:] = result["observation"]
            result["observation"] = self.buffer
        return tuple(result.values())

    def render(self) -> Any:
        self._do("render")
        return np.zeros((8, 8, 3), np.uint8)

    def close(self) -> None:
        self._do("close")

    def _observation(self) -> np.ndarray:
        return np.array([self.time, self.episode], np.float32)

    def _do(self, where: str) -> None:
        what, _, place = self.fault.partition(" in ")
        if place != where or what not in DONE or not self._now():
            return
        if what == "raise":
            raise RuntimeError(f"misbehaving in {where}")
        if what == "exit":
            sys.exit(3)
        if what == "interrupt":
            raise KeyboardInterrupt
        if what == "die":
            os._exit(5)
        time.sleep(3600)

    def _now(self) -> bool:
        """Whether it is time to misbehave."""
        if self.steps < self.after:
            return False
        if not self.mark:
            return True
        try:
            Path(self.mark).touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class Stateful(Misbehaving):
    """The same, with a state that it can save, except in its faults."""

    def get_state(self) -> Any:
        self._do("get_state")
        if self.fault == "state: object":
            return object()
        if self.fault == "state: deep":
            deep: list[Any] = []
            for _ in range(5000):
                deep = [deep]
            return deep
        return [self.steps, self.time, self.episode]

    def set_state(self, state: Any) -> None:
        self._do("set_state")
        self.steps, self.time, self.episode = state


def vector(num_envs: int, **kwargs: Any) -> SyncVectorEnv:
    """Several of them in one vector environment."""
    return SyncVectorEnv([partial(Misbehaving, **kwargs)] * num_envs)
