"""Replay in the host's memory, or in files that the system maps into it. May import: the rest of this room.

Both are NumPy arrays, allocated a segment at a time when first needed: an empty ring of any length costs nothing.
"""

import mmap
import os
import tempfile
from pathlib import Path

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay.layout import Layout, Leaves
from reverie.replay.streams import Array, Streams


class Memory:
    """Segments as the system gives memory out."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def allocate(self, index: int, num_streams: int, size: int) -> Experience:
        """A segment, leaves (num_streams, size, ...)."""
        return self._layout.empty(num_streams, size)

    def prefetch(self, index: int, leaf: np.ndarray) -> None:
        """A part of a segment's leaf is about to be read."""


class Files(Memory):
    """Segments as files in a folder, which the system reads and writes as it has memory for.

    They have no names, so that they vanish with the process, however it ends. Their room is taken at once: on a
    full disk an OSError says so here, where a later write into the mapped memory would kill the process.
    """

    def __init__(self, layout: Layout, folder: Path) -> None:
        super().__init__(layout)
        self._folder = folder
        self._maps: dict[int, tuple[mmap.mmap, int]] = {}  # and their addresses

    def allocate(self, index: int, num_streams: int, size: int) -> Experience:
        nbytes = self._layout.nbytes_in_buffer(num_streams, size)
        with tempfile.TemporaryFile(dir=self._folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, nbytes)
            else:
                file.truncate(nbytes)
            mapped = mmap.mmap(file.fileno(), nbytes)
        buffer = np.frombuffer(mapped, np.uint8)
        self._maps[index] = mapped, buffer.ctypes.data
        return self._layout.in_buffer(buffer, num_streams, size)

    def prefetch(self, index: int, leaf: np.ndarray) -> None:
        """The system begins to read it; all parts of a batch together take an eighth of the time of one by one."""
        if hasattr(mmap, "MADV_WILLNEED"):
            mapped, address = self._maps[index]
            offset = leaf.ctypes.data - address
            begin = offset - offset % mmap.PAGESIZE
            mapped.madvise(mmap.MADV_WILLNEED, begin, offset + leaf.nbytes - begin)


class HostStreams(Streams):
    """Streams in NumPy arrays."""

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int, home: Memory) -> None:
        super().__init__(layout, num_streams, length, segment)
        self._home = home
        self._segments: dict[int, Experience] = {}  # leaves (N, slots, ...): a stream's time is contiguous

    @property
    def nbytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._segments))

    def read(self, stream: np.ndarray, first: np.ndarray, time: int) -> Experience:
        into = self._layout.empty(len(first), time)
        copies = []
        for row, (owner, begin) in enumerate(zip(stream.tolist(), first.tolist(), strict=True)):
            for index, slots, part in self._runs(begin, begin + time):
                for target, source in zip(jax.tree.leaves(into), jax.tree.leaves(self._segments[index]), strict=True):
                    self._home.prefetch(index, source[owner, slots])
                    copies.append((target[row, part], source[owner, slots]))
        for target, source in copies:
            target[...] = source
        return into

    def copy(self, index: int, kind: str) -> Leaves:
        leaves = self._layout.named(self._segments[index])
        return {name: leaves[name][:, : self._written(index)].copy() for name in self._names(kind)}

    def _put(self, index: int, slots: slice, records: Experience) -> None:
        if index not in self._segments:
            size = min(self.segment, self.length - index * self.segment)
            self._segments[index] = self._home.allocate(index, self._num_streams, size)
        stored = self._segments[index]
        for target, source in zip(jax.tree.leaves(stored), jax.tree.leaves(records), strict=True):
            target[:, slots] = source

    def _put_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        deter, stoch, time = np.asarray(deter), np.asarray(stoch), deter.shape[1]
        for row, (owner, begin) in enumerate(zip(stream.tolist(), first.tolist(), strict=True)):
            gone = max(0, self.oldest - begin)
            for index, slots, part in self._runs(begin + gone, begin + time):
                self._segments[index].deter[owner, slots] = deter[row, gone:][part]
                self._segments[index].stoch[owner, slots] = stoch[row, gone:][part]

    def _end(self, time: int, streams: np.ndarray) -> None:
        for index, slots, _ in self._runs(time, time + 1):
            self._segments[index].is_last[:, slots] |= streams[:, None]
