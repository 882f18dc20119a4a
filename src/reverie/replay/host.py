"""Replay in the host's memory, or in files that the system maps into it. May import: the rest of this room.

Both are NumPy arrays, allocated a segment at a time when first needed: an empty ring of any length costs nothing.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay.layout import Layout, Leaves
from reverie.replay.streams import Array, Streams

# From how many streams and slots to records, leaves (N, slots, ...).
Allocate = Callable[[int, int], Experience]


class HostStreams(Streams):
    """Streams in NumPy arrays, which `allocate` makes."""

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int, allocate: Allocate) -> None:
        super().__init__(layout, num_streams, length, segment)
        self._allocate = allocate
        self._segments: dict[int, Experience] = {}  # leaves (N, slots, ...): a stream's time is contiguous

    @property
    def nbytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._segments))

    def read(self, stream: np.ndarray, first: np.ndarray, time: int) -> Experience:
        into = self._layout.empty(len(first), time)
        for index, (owner, begin) in enumerate(zip(stream.tolist(), first.tolist(), strict=True)):
            for stored, slots, part in self._stored(begin, begin + time):
                for target, source in zip(jax.tree.leaves(into), jax.tree.leaves(stored), strict=True):
                    target[index, part] = source[owner, slots]
        return into

    def copy(self, index: int, kind: str) -> Leaves:
        leaves = self._layout.named(self._segments[index])
        return {name: leaves[name][:, : self._written(index)].copy() for name in self._names(kind)}

    def _put(self, index: int, slots: slice, records: Experience) -> None:
        if index not in self._segments:
            size = min(self.segment, self.length - index * self.segment)
            self._segments[index] = self._allocate(self._num_streams, size)
        stored = self._segments[index]
        for target, source in zip(jax.tree.leaves(stored), jax.tree.leaves(records), strict=True):
            target[:, slots] = source

    def _put_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        deter, stoch, time = np.asarray(deter), np.asarray(stoch), deter.shape[1]
        for index, (owner, begin) in enumerate(zip(stream.tolist(), first.tolist(), strict=True)):
            gone = max(0, self.oldest - begin)
            for stored, slots, part in self._stored(begin + gone, begin + time):
                stored.deter[owner, slots] = deter[index, gone:][part]
                stored.stoch[owner, slots] = stoch[index, gone:][part]

    def _end(self, time: int, streams: np.ndarray) -> None:
        for stored, slots, _ in self._stored(time, time + 1):
            stored.is_last[:, slots] |= streams[:, None]

    def _stored(self, first: int, stop: int) -> Iterator[tuple[Experience, slice, slice]]:
        for index, slots, part in self._runs(first, stop):
            yield self._segments[index], slots, part


def in_files(layout: Layout, folder: Path) -> Allocate:
    """Segments as files in a folder, which the system reads and writes as it has memory for.

    They have no names, so that they vanish with the process, however it ends. Their room is taken at once: on a
    full disk an OSError says so here, where a later write into the mapped memory would kill the process.
    """

    def allocate(num_streams: int, size: int) -> Experience:
        nbytes = layout.nbytes_in_buffer(num_streams, size)
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, nbytes)
            buffer = np.memmap(file, np.uint8, "r+" if hasattr(os, "posix_fallocate") else "w+", shape=(nbytes,))
        return layout.in_buffer(buffer, num_streams, size)

    return allocate
