"""Measures where the time goes. May import: nothing of Reverie."""

import time
from collections import defaultdict

PARTS = ("env", "act", "data", "learn", "log", "eval")


class Block:
    """Adds the time of a `with` block to a part. A generator would take several times as long to enter and leave."""

    def __init__(self, spent: dict[str, float], part: str) -> None:
        self._spent, self._part = spent, part

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._spent[self._part] += time.perf_counter() - self._start


class Clock:
    """Adds up the wall time spent in named parts of the loop."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = defaultdict(float)
        self._times: dict[str, int] = defaultdict(int)
        self._since = time.perf_counter()

    def measure(self, part: str, *, again: bool = False) -> Block:
        """Count the block's time towards a part; `again` continues the part's previous block as the same one."""
        self._times[part] += not again
        return Block(self._spent, part)

    @property
    def elapsed(self) -> float:
        """Seconds since the last `shares`."""
        return time.perf_counter() - self._since

    def milliseconds(self, part: str) -> float:
        """The mean duration of a part since the last `shares`."""
        return 1e3 * self._spent[part] / max(1, self._times[part])

    def shares(self) -> dict[str, float]:
        """Each part's share of the wall time since the last call; resets all of them."""
        shares = {part: self._spent[part] / max(self.elapsed, 1e-9) for part in PARTS}
        self._spent.clear()
        self._times.clear()
        self._since = time.perf_counter()
        return shares
