"""The newest records of N environments, one stream each, in memory that grows with what is stored.

May import: `experience`, `layout`.
"""

from collections.abc import Iterator

import jax

from reverie.experience import Experience
from reverie.replay.layout import Layout

RECORDS, LATENTS = KINDS = ("records", "latents")  # what stays as it was collected, and what every update refreshes


class Streams:
    """N rings of `length` records that advance together, so that one counter serves all of them.

    A record is known by its stream and its id: how many records the stream had seen before it. Ids never
    repeat, so `oldest` ≤ id < `count` says whether a record is still held. Record `id` stands in slot
    `id % length`, and slots are allocated in segments of `segment` when first needed: an empty ring of any
    length costs nothing.
    """

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int) -> None:
        self._layout = layout
        self._num_streams = num_streams
        self._segment = segment
        self._segments: dict[int, Experience] = {}  # leaves (N, slots, ...): a stream's time is contiguous
        self.changes = 0  # counts writes
        self.changed: dict[tuple[int, str], int] = {}  # (segment, LATENTS or RECORDS) → the last write to it
        self.length = length
        self.oldest = 0
        self.count = 0

    @property
    def held(self) -> int:
        """Records held per stream."""
        return self.count - self.oldest

    @property
    def nbytes(self) -> int:
        """Bytes allocated."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._segments))

    def append(self, record: Experience) -> None:
        """Adds one record to each stream, leaves (N, ...), in place of its oldest one if the ring is full."""
        self.write(self.count, jax.tree.map(lambda leaf: leaf[:, None], record))
        self.advance(self.count + 1)

    def advance(self, count: int) -> None:
        """Declares all records before id `count` written."""
        self.count = count
        self.oldest = max(self.oldest, count - self.length)

    def write(self, first: int, records: Experience) -> None:
        """Stores records, leaves (N, time, ...), under the ids from `first` on; the counters stay."""
        stop = first + records.reward.shape[1]
        for stored, slots, part in self.runs(first, stop):
            for target, source in zip(jax.tree.leaves(stored), jax.tree.leaves(records), strict=True):
                target[:, slots] = source[:, part]
        self.touch(first, stop, *KINDS)

    def read(self, stream: int, first: int, into: Experience, index: int) -> None:
        """Fills `into[index]`, leaves (B, time, ...), with records of one stream from id `first` on."""
        for stored, slots, part in self.runs(first, first + into.reward.shape[1]):
            for target, source in zip(jax.tree.leaves(into), jax.tree.leaves(stored), strict=True):
                target[index, part] = source[stream, slots]

    def touch(self, first: int, stop: int, *kinds: str) -> None:
        """Declares the records with ids `first` to `stop` - 1 changed: their latents, the rest of them, or both."""
        self.changes += 1
        self.changed |= {(index, kind): self.changes for index, _, _ in self._runs(first, stop) for kind in kinds}

    def segment(self, index: int) -> Experience:
        """The slots of a segment that were ever written, leaves (N, slots, ...), as views."""
        filled = min(self.count, self.length) - index * self._segment
        return jax.tree.map(lambda leaf: leaf[:, :filled], self._segments[index])

    def runs(self, first: int, stop: int) -> Iterator[tuple[Experience, slice, slice]]:
        """Where the records with ids `first` to `stop` - 1 stand, in the fewest runs of neighbouring slots.

        Yields for each run its segment, leaves (N, slots, ...), its slots therein, and its ids less `first`.
        """
        for index, slots, part in self._runs(first, stop):
            if index not in self._segments:
                size = min(self._segment, self.length - index * self._segment)
                self._segments[index] = self._layout.empty(self._num_streams, size)
            yield self._segments[index], slots, part

    def _runs(self, first: int, stop: int) -> Iterator[tuple[int, slice, slice]]:
        done = first
        while done < stop:
            index, slot = divmod(done % self.length, self._segment)
            slots = min(self._segment, self.length - index * self._segment)
            size = min(stop - done, slots - slot)
            yield index, slice(slot, slot + size), slice(done - first, done - first + size)
            done += size
