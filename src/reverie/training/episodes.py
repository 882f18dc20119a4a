"""Returns and lengths of episodes as they go on in several environments. May import: `experience`."""

from collections import deque
from typing import Any

import numpy as np

from reverie.experience import Step

RECENT = 20  # episodes in the return that is shown


class Episodes:
    """Adds up rewards and decisions until an episode ends.

    Attributes:
        count: finished ones.
        recent: returns of the newest finished ones.
    """

    def __init__(self, num_envs: int) -> None:
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, int)
        self.count = 0
        self.recent: deque[float] = deque(maxlen=RECENT)

    def add(self, step: Step, which: np.ndarray) -> list[tuple[float, int]]:
        """Return and length of each episode that ends with this step of environments `which`, (N,) bool.

        One that is cut off by another has none.
        """
        begun = which & step.is_first
        self._returns[begun], self._lengths[begun] = 0, 0
        self._returns[which] += step.reward[which]
        self._lengths += which & ~step.is_first
        ended = np.flatnonzero(which & step.is_last)
        finished = [(float(self._returns[i]), int(self._lengths[i])) for i in ended]
        self.count += len(finished)
        self.recent.extend(value for value, _ in finished)
        self._returns[ended], self._lengths[ended] = 0, 0
        return finished

    def begin(self) -> None:
        """Forget unfinished episodes: all environments start anew."""
        self._returns[:], self._lengths[:] = 0, 0

    def state(self) -> dict[str, Any]:
        """In JSON's types."""
        unfinished = {"returns": self._returns.tolist(), "lengths": self._lengths.tolist()}
        return {"count": self.count, "recent": list(self.recent), **unfinished}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a `state`."""
        self.count = int(state["count"])
        self.recent = deque(map(float, state["recent"]), maxlen=RECENT)
        self._returns[:], self._lengths[:] = state["returns"], state["lengths"]
