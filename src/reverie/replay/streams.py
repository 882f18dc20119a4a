"""The newest records of N environments, one stream each: what is counted, wherever the records themselves are kept.

May import: `experience`, `layout`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay.layout import Layout, Leaves

Array = np.ndarray | jax.Array

RECORDS, LATENTS = KINDS = ("records", "latents")  # what stays as it was collected, and what every update refreshes
LATENT_LEAVES = ("deter", "stoch")


def saved_counters(state: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """`oldest` and `count` of a saved replay, (N,) each; earlier versions wrote one number for all streams."""
    oldest, count = (np.array(state[name], np.int64) for name in ("oldest", "count"))
    return np.broadcast_to(oldest, state["num_envs"]), np.broadcast_to(count, state["num_envs"])


class Streams(ABC):
    """N rings of `length` records, each with counters of its own: environments need not advance together.

    A record is known by its stream and its id: how many records the stream had seen before it. Ids never
    repeat, so `oldest` ≤ id < `count`, both (N,), says whether a record is still held. Record `id` stands in slot
    `id % length`; slots are counted in segments of `segment`, the pieces of a checkpoint.
    """

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int) -> None:
        self.length = length
        self.segment = segment
        self.changed: dict[tuple[int, str], int] = {}  # (segment, LATENTS or RECORDS) → the last write to it
        self.oldest = np.zeros(num_streams, np.int64)
        self.count = np.zeros(num_streams, np.int64)
        self._layout = layout
        self._num_streams = num_streams
        self._changes = 0  # counts writes

    @property
    def held(self) -> np.ndarray:
        """Records that each stream holds, (N,)."""
        return self.count - self.oldest

    def append(self, record: Experience, which: np.ndarray) -> None:
        """Adds one record, leaves (N, ...), to the streams of `which`, (N,) bool; to full ones instead of the oldest.

        Where it begins an episode, the record before is marked as the last of its own.
        """
        self.cut_off(which & record.is_first)
        self.write(self.count[:, None], which[:, None], jax.tree.map(lambda leaf: leaf[:, None], record))
        self.advance(self.count + which)

    def cut_off(self, which: np.ndarray) -> None:
        """Marks the newest record of the streams of `which`, (N,) bool, as the last of its episode."""
        there = which & (self.held > 0)
        if there.any():
            slots = self._slots(self.count - 1, there)
            self._end(slots)
            self._touch(slots, RECORDS)

    def extend(self, records: Experience) -> None:
        """Adds records to each stream, leaves (N, time, ...); no more than a ring holds."""
        ids = self.count[:, None] + np.arange(records.reward.shape[1])
        self.write(ids, np.ones(ids.shape, bool), records)
        self.advance(ids[:, -1] + 1)

    def advance(self, count: np.ndarray) -> None:
        """Declares all records before the ids `count`, (N,), written."""
        self.count = count
        self.oldest = np.maximum(self.oldest, count - self.length)

    def write(self, ids: np.ndarray, which: np.ndarray, records: Experience) -> None:
        """Stores those of the records, leaves (N, time, ...), that `which`, (N, time), says; the counters stay."""
        slots = self._slots(ids, which)
        self._put(slots, records)
        self._touch(slots, *KINDS)

    def write_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        """Stores latents, (B, T, ...), of the records from ids `first` (B,) on; not of those that are gone."""
        self._put_latents(stream, first, deter, stoch)
        stop = first + deter.shape[1]
        for begin, end in zip(np.maximum(first, self.oldest[stream]).tolist(), stop.tolist(), strict=True):
            self._declare((index for index, _, _ in self._runs(begin, end)), LATENTS)

    @abstractmethod
    def reserve(self, records: int = 1) -> None:
        """Takes the room of the records to come, so that adding them can't fail for want of room."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes allocated."""

    @abstractmethod
    def read(self, stream: np.ndarray, first: np.ndarray, time: int) -> Experience:
        """Copies of `time` records of streams (B,) from ids `first` (B,) on, leaves (B, time, ...)."""

    @abstractmethod
    def copy(self, index: int, kind: str) -> Leaves:
        """The latents of a segment, or the rest of its records, where ever written: leaves (N, slots, ...)."""

    @abstractmethod
    def _put(self, slots: np.ndarray, records: Experience) -> None:
        """Stores records, leaves (N, time, ...), in slots (N, time) of their streams; not those in slot `length`."""

    @abstractmethod
    def _put_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        """As `write_latents`; where sequences overlap, the later one wins."""

    @abstractmethod
    def _end(self, slots: np.ndarray) -> None:
        """Marks a record of each stream, by its slot (N,), as the last of its episode; none in slot `length`."""

    def _slots(self, ids: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Where records stand; beyond the ring's end for all but `which`, so that shapes don't depend on these."""
        return np.where(which, ids % self.length, self.length)

    def _written(self, index: int) -> int:
        """Slots of a segment that were ever written, in any stream."""
        return min(self.segment, min(int(self.count.max()), self.length) - index * self.segment)

    def _names(self, kind: str) -> list[str]:
        return [name for name in self._layout.names if (name in LATENT_LEAVES) == (kind == LATENTS)]

    def _touch(self, slots: np.ndarray, *kinds: str) -> None:
        """Declares the records in some slots changed."""
        self._declare(np.unique(slots[slots < self.length] // self.segment).tolist(), *kinds)

    def _declare(self, segments: Iterable[int], *kinds: str) -> None:
        """These segments have changed: their latents, the rest of their records, or both."""
        self._changes += 1
        self.changed |= {(index, kind): self._changes for index in segments for kind in kinds}

    def _runs(self, first: int, stop: int) -> Iterator[tuple[int, slice, slice]]:
        """Where the records with ids `first` to `stop` - 1 stand, in the fewest runs of neighbouring slots.

        Yields for each run its segment, its slots therein, and its ids less `first`.
        """
        done = first
        while done < stop:
            index, slot = divmod(done % self.length, self.segment)
            slots = min(self.segment, self.length - index * self.segment)
            size = min(stop - done, slots - slot)
            yield index, slice(slot, slot + size), slice(done - first, done - first + size)
            done += size
