"""Streams: the newest records of N environments, counted here and stored by the subclasses.

May import: `experience`, `layout`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay.layout import Layout, Leaves

Array = np.ndarray | jax.Array

RECORDS, LATENTS = KINDS = ("records", "latents")  # what stays as collected, and what every update refreshes
LATENT_LEAVES = ("deter", "stoch")


class Streams(ABC):
    """N ring buffers of `length` records. Each has its own counters, because environments may advance separately.

    A record's id is the number of records that its stream received before it. Ids never repeat: a record is still
    held if `oldest` ≤ id < `count`, both (N,). Record `id` is in slot `id % length`. Slots are grouped into segments
    of `segment` slots, which are the parts of a checkpoint.
    """

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int) -> None:
        self.length = length
        self.segment = segment
        self.changed: dict[tuple[int, str], int] = {}  # (segment, kind) → number of the last write to it
        self.oldest = np.zeros(num_streams, np.int64)
        self.count = np.zeros(num_streams, np.int64)
        self._layout = layout
        self._num_streams = num_streams
        self._changes = 0  # counts writes

    @property
    def held(self) -> np.ndarray:
        """The number of records in each stream, (N,)."""
        return self.count - self.oldest

    def append(self, record: Experience, which: np.ndarray) -> None:
        """Append one record, leaves (N, ...), to the streams in `which`, (N,) bool. Full streams drop their oldest.

        Where the record begins an episode, the one before it is marked as the last of its episode.
        """
        self.cut_off(which & record.is_first)
        self.write(self.count[:, None], which[:, None], jax.tree.map(lambda leaf: leaf[:, None], record))
        self.advance(self.count + which)

    def cut_off(self, which: np.ndarray) -> None:
        """Mark the newest record of the streams in `which`, (N,) bool, as the last of its episode."""
        there = which & (self.held > 0)
        if there.any():
            slots = self._slots(self.count - 1, there)
            self._end(slots)
            self._touch(slots, RECORDS)

    def extend(self, records: Experience) -> None:
        """Append records to each stream, leaves (N, time, ...); no more than a stream can hold."""
        ids = self.count[:, None] + np.arange(records.reward.shape[1])
        self.write(ids, np.ones(ids.shape, bool), records)
        self.advance(ids[:, -1] + 1)

    def advance(self, count: np.ndarray) -> None:
        """Set the counters after all records with ids below `count`, (N,), were written."""
        self.count = count
        self.oldest = np.maximum(self.oldest, count - self.length)

    def write(self, ids: np.ndarray, which: np.ndarray, records: Experience) -> None:
        """Store the records, leaves (N, time, ...), that `which`, (N, time), selects. The counters stay."""
        slots = self._slots(ids, which)
        self._put(slots, records)
        self._touch(slots, *KINDS)

    def write_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        """Store the latents, (B, T, ...), of the records from ids `first` (B,) on. Overwritten records are skipped."""
        self._put_latents(stream, first, deter, stoch)
        begins, ends = np.maximum(first, self.oldest[stream]).tolist(), (first + deter.shape[1]).tolist()
        runs = (run for begin, end in zip(begins, ends, strict=True) for run in self._runs(begin, end))
        self._declare({index for index, _, _ in runs}, LATENTS)

    @abstractmethod
    def reserve(self, records: int = 1) -> None:
        """Allocate memory for the next records, so that adding them can't fail."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """The number of bytes allocated."""

    @abstractmethod
    def read(self, stream: np.ndarray, first: np.ndarray, time: int, latents: int) -> Experience:
        """Copy `time` records of the streams (B,), beginning at ids `first` (B,); leaves (B, time, ...).

        Only the first `latents` records come with their latents, leaves (B, latents, ...).
        """

    @abstractmethod
    def copy(self, index: int, kind: str) -> Leaves:
        """Copy the latents or the records (without latents) of a segment's written slots; leaves (N, slots, ...)."""

    @abstractmethod
    def _put(self, slots: np.ndarray, records: Experience) -> None:
        """Store records, leaves (N, time, ...), in slots (N, time). Those for slot `length` are dropped."""

    @abstractmethod
    def _put_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        """Implement `write_latents`. Where sequences overlap, the later one wins."""

    @abstractmethod
    def _end(self, slots: np.ndarray) -> None:
        """Mark one record of each stream, by its slot (N,), as the last of its episode; none for slot `length`."""

    def _slots(self, ids: np.ndarray, which: np.ndarray) -> np.ndarray:
        """The slots of records; `length` for those that `which` excludes, so that shapes do not depend on it."""
        return np.where(which, ids % self.length, self.length)

    def _written(self, index: int) -> int:
        """The number of slots of a segment that were ever written, in any stream."""
        return min(self.segment, min(int(self.count.max()), self.length) - index * self.segment)

    def _names(self, kind: str) -> list[str]:
        return [name for name in self._layout.names if (name in LATENT_LEAVES) == (kind == LATENTS)]

    def _touch(self, slots: np.ndarray, *kinds: str) -> None:
        """Note that the records in some slots have changed."""
        self._declare(np.unique(slots[slots < self.length] // self.segment).tolist(), *kinds)

    def _declare(self, segments: Iterable[int], *kinds: str) -> None:
        """Note that segments have changed: their latents, their records, or both."""
        self._changes += 1
        self.changed |= {(index, kind): self._changes for index in segments for kind in kinds}

    def _runs(self, first: int, stop: int) -> Iterator[tuple[int, slice, slice]]:
        """Yield the runs of consecutive slots that hold the records with ids `first` to `stop` - 1.

        Each run is its segment, its slots in the segment, and its ids minus `first`.
        """
        done = first
        while done < stop:
            index, slot = divmod(done % self.length, self.segment)
            slots = min(self.segment, self.length - index * self.segment)
            size = min(stop - done, slots - slot)
            yield index, slice(slot, slot + size), slice(done - first, done - first + size)
            done += size
