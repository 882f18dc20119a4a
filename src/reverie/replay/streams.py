"""The newest records of N environments, one stream each: what is counted, wherever the records themselves are kept.

May import: `experience`, `layout`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay.layout import Layout, Leaves

Array = np.ndarray | jax.Array

RECORDS, LATENTS = KINDS = ("records", "latents")  # what stays as it was collected, and what every update refreshes
LATENT_LEAVES = ("deter", "stoch")


class Streams(ABC):
    """N rings of `length` records that advance together, so that one counter serves all of them.

    A record is known by its stream and its id: how many records the stream had seen before it. Ids never
    repeat, so `oldest` ≤ id < `count` says whether a record is still held. Record `id` stands in slot
    `id % length`; slots are counted in segments of `segment`, the pieces of a checkpoint.
    """

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int) -> None:
        self.length = length
        self.segment = segment
        self.changed: dict[tuple[int, str], int] = {}  # (segment, LATENTS or RECORDS) → the last write to it
        self.oldest = 0
        self.count = 0
        self._layout = layout
        self._num_streams = num_streams
        self._changes = 0  # counts writes

    @property
    def held(self) -> int:
        """Records held per stream."""
        return self.count - self.oldest

    def append(self, record: Experience) -> None:
        """Adds one record to each stream, leaves (N, ...), in place of its oldest one if the ring is full.

        Where it begins an episode, the record before is marked as the last of its own.
        """
        if self.held and record.is_first.any():
            self._end(self.count - 1, record.is_first)
            self._touch(self.count - 1, self.count, RECORDS)
        self.write(self.count, jax.tree.map(lambda leaf: leaf[:, None], record))
        self.advance(self.count + 1)

    def advance(self, count: int) -> None:
        """Declares all records before id `count` written."""
        self.count = count
        self.oldest = max(self.oldest, count - self.length)

    def write(self, first: int, records: Experience) -> None:
        """Stores records, leaves (N, time, ...), under the ids from `first` on; the counters stay."""
        stop = first + records.reward.shape[1]
        for index, slots, part in self._runs(first, stop):
            self._put(index, slots, jax.tree.map(lambda leaf, part=part: leaf[:, part], records))
        self._touch(first, stop, *KINDS)

    def write_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        """Stores latents, (B, T, ...), of the records from ids `first` (B,) on; not of those that are gone."""
        self._put_latents(stream, first, deter, stoch)
        stop = first + deter.shape[1]
        for begin, end in zip(np.maximum(first, self.oldest).tolist(), stop.tolist(), strict=True):
            self._touch(begin, end, LATENTS)

    @abstractmethod
    def reserve(self) -> None:
        """Takes the room of the record to come, so that adding it can't fail for want of room."""

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
    def _put(self, index: int, slots: slice, records: Experience) -> None:
        """Stores records, leaves (N, slots, ...), in a segment."""

    @abstractmethod
    def _put_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        """As `write_latents`; where sequences overlap, the later one wins."""

    @abstractmethod
    def _end(self, time: int, streams: np.ndarray) -> None:
        """Marks the record with id `time` of some streams, (N,) bool, as the last of its episode."""

    def _written(self, index: int) -> int:
        """Slots of a segment that were ever written."""
        return min(self.segment, min(self.count, self.length) - index * self.segment)

    def _names(self, kind: str) -> list[str]:
        return [name for name in self._layout.names if (name in LATENT_LEAVES) == (kind == LATENTS)]

    def _touch(self, first: int, stop: int, *kinds: str) -> None:
        """Declares the records with ids `first` to `stop` - 1 changed: their latents, the rest of them, or both."""
        self._changes += 1
        self.changed |= {(index, kind): self._changes for index, _, _ in self._runs(first, stop) for kind in kinds}

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
