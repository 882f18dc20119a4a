"""Returns and lengths of episodes. May import: `experience`."""

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from reverie.experience import Step

RECENT = 20  # episodes in the mean return that is displayed


class Episode(NamedTuple):
    """A finished episode."""

    total_reward: float  # its return
    length: int  # decisions
    info: Mapping[str, float]  # numbers and booleans of its last `info`, by name


class Episodes:
    """Adds up rewards and decisions until an episode ends.

    Attributes:
        count: finished episodes.
        longest: length of the longest finished one since this process began.
        recent: returns of the newest finished ones.
    """

    def __init__(self, num_envs: int) -> None:
        self._returns, self._lengths = np.zeros(num_envs), np.zeros(num_envs, int)
        self.count = self.longest = 0
        self.recent: deque[float] = deque(maxlen=RECENT)

    def add(
        self, step: Step, which: np.ndarray, infos: Mapping[int, Mapping[str, float]] = MappingProxyType({})
    ) -> list[Episode]:
        """The episodes that end with this step; not those that are cut off by the start of another one.

        Args:
            step: of N environments.
            which: (N,) bool, the environments that took part in it.
            infos: the numbers of the last `info` of each episode that ends, by index of the environment.
        """
        begun = which & step.is_first
        self._returns[begun], self._lengths[begun] = 0, 0
        self._returns[which] += step.reward[which]
        self._lengths += which & ~step.is_first
        ended = np.flatnonzero(which & step.is_last)
        finished = [Episode(float(self._returns[i]), int(self._lengths[i]), infos.get(int(i), {})) for i in ended]
        self.count += len(finished)
        self.longest = max(self.longest, *(episode.length for episode in finished), 0)
        self.recent.extend(episode.total_reward for episode in finished)
        self._returns[ended], self._lengths[ended] = 0, 0
        return finished

    @property
    def running(self) -> float:
        """The mean return so far of the unfinished episodes."""
        return float(self._returns.mean())

    def begin(self) -> None:
        """Forget unfinished episodes: all environments start new ones."""
        self._returns[:], self._lengths[:] = 0, 0

    def state(self) -> dict[str, Any]:
        """The state in JSON's types, for `restore`."""
        unfinished = {"returns": self._returns.tolist(), "lengths": self._lengths.tolist()}
        return {"count": self.count, "recent": list(self.recent), **unfinished}

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `state`."""
        self.count = int(state["count"])
        self.recent = deque(map(float, state["recent"]), maxlen=RECENT)
        self._returns[:], self._lengths[:] = state["returns"], state["lengths"]
