"""A replay buffer in host memory, or in a memory-mapped file. May import: the rest of this room.

Both are NumPy arrays that are allocated segment by segment when first needed, so an empty buffer of any size is free.
"""

import mmap
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay.layout import Layout, Leaves
from reverie.replay.streams import KINDS, LATENTS, RECORDS, Array, Streams


class Memory:
    """Allocates segments in host memory."""

    def __init__(self, layout: Layout, num_streams: int) -> None:
        self._layout, self._num_streams = layout, num_streams

    def allocate(self, index: int, size: int) -> Experience:
        """Allocate a segment of `size` slots, leaves (N, size, ...)."""
        return self._layout.zeros(self._num_streams, size)  # streams of different lengths leave gaps in checkpoints

    def prefetch(self, parts: Iterable[np.ndarray]) -> None:
        """Announce that parts of segments will be read soon."""


class File(Memory):
    """Allocates segments in one memory-mapped file, which the system caches as far as it has memory.

    The file has no name, so it disappears with the process, however that ends. Disk space is reserved when a segment is
    allocated: a full disk raises an OSError then, instead of killing the process at a later write to mapped memory.
    """

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int, folder: Path) -> None:
        super().__init__(layout, num_streams)
        self._folder = folder
        stride = layout.nbytes_in_buffer(num_streams, min(segment, length))
        self._stride = -(-stride // mmap.PAGESIZE) * mmap.PAGESIZE
        self._count = -(-length // segment)
        self._file: Any = None  # opened with the first segment, when the folder exists

    def allocate(self, index: int, size: int) -> Experience:
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115, stays open
            self._file.truncate(self._count * self._stride)  # allocates nothing yet
            self._mapped = mmap.mmap(self._file.fileno(), 0)
            self._buffer = np.frombuffer(self._mapped, np.uint8)
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(self._file.fileno(), index * self._stride, self._stride)
            except OSError as error:
                needs = f"the replay buffer is in '{self._folder}' and needs {self._stride:,} more bytes there"
                raise OSError(error.errno, f"{error.strerror}; {needs}") from error
        return self._layout.in_buffer(self._buffer[index * self._stride :], self._num_streams, size)

    def prefetch(self, parts: Iterable[np.ndarray]) -> None:
        """Let the system start reading: a batch takes a twentieth of the time that one part after another takes."""
        if hasattr(mmap, "MADV_WILLNEED"):
            for part in parts:
                offset = part.ctypes.data - self._buffer.ctypes.data
                begin = offset - offset % mmap.PAGESIZE
                self._mapped.madvise(mmap.MADV_WILLNEED, begin, offset + part.nbytes - begin)


class HostStreams(Streams):
    """Streams in NumPy arrays, allocated by `home`."""

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int, home: Memory) -> None:
        super().__init__(layout, num_streams, length, segment)
        self._home = home
        self._segments: dict[int, Experience] = {}  # leaves (N, slots, ...), contiguous in time
        self._leaves: dict[int, dict[str, list[np.ndarray]]] = {}  # of the segments, by kind

    @property
    def nbytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._segments))

    def reserve(self, records: int = 1) -> None:
        slots = (self.count[:, None] + np.arange(records)) % self.length
        for index in np.unique(slots // self.segment).tolist():
            self._allocate(index)

    def read(self, stream: np.ndarray, first: np.ndarray, time: int, latents: int) -> Experience:
        context = self._layout.empty(len(first), latents)
        into = self._layout.empty(len(first), time)._replace(deter=context.deter, stoch=context.stoch)
        pieces = {RECORDS: self._pieces(stream, first, time), LATENTS: self._pieces(stream, first, latents)}
        self._home.prefetch(
            leaf[where] for kind in KINDS for _, _, index, where in pieces[kind] for leaf in self._leaves[index][kind]
        )
        targets = _by_kind(into)
        for kind in KINDS:
            for row, part, index, where in pieces[kind]:
                for target, source in zip(targets[kind], self._leaves[index][kind], strict=True):
                    target[row, part] = source[where]
        return into

    def _pieces(self, stream: np.ndarray, first: np.ndarray, time: int) -> list[tuple[int, slice, int, Any]]:
        """The runs of each sequence: its row, its part of that, its segment, and its place there."""
        return [
            (row, part, index, (owner, slots))
            for row, (owner, begin) in enumerate(zip(stream.tolist(), first.tolist(), strict=True))
            for index, slots, part in self._runs(begin, begin + time)
        ]

    def copy(self, index: int, kind: str) -> Leaves:
        leaves = self._layout.named(self._segments[index])
        return {name: leaves[name][:, : self._written(index)].copy() for name in self._names(kind)}

    def _put(self, slots: np.ndarray, records: Experience) -> None:
        segments, places = np.divmod(slots, self.segment)
        for index in np.unique(segments[slots < self.length]).tolist():
            self._allocate(index)
            rows: Any = np.nonzero((segments == index) & (slots < self.length))
            where: Any = (rows[0], places[rows])
            if slots.shape[1] == 1 and np.all(slots == slots[0]):  # environments in lockstep; slices are faster
                rows, where = (slice(None), 0), (slice(None), int(places[0, 0]))
            for target, source in zip(jax.tree.leaves(self._segments[index]), jax.tree.leaves(records), strict=True):
                target[where] = source[rows]

    def _allocate(self, index: int) -> None:
        if index not in self._segments:
            size = min(self.segment, self.length - index * self.segment)
            self._segments[index] = self._home.allocate(index, size)
            self._leaves[index] = _by_kind(self._segments[index])

    def _put_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        deter, stoch, time = np.asarray(deter), np.asarray(stoch), deter.shape[1]
        for row, (owner, begin) in enumerate(zip(stream.tolist(), first.tolist(), strict=True)):
            gone = max(0, int(self.oldest[owner]) - begin)
            for index, slots, part in self._runs(begin + gone, begin + time):
                self._segments[index].deter[owner, slots] = deter[row, gone:][part]
                self._segments[index].stoch[owner, slots] = stoch[row, gone:][part]

    def _end(self, slots: np.ndarray) -> None:
        for stream in np.flatnonzero(slots < self.length).tolist():
            index, place = divmod(int(slots[stream]), self.segment)
            self._segments[index].is_last[stream, place] = True


def _by_kind(records: Experience) -> dict[str, list[np.ndarray]]:
    """The leaves that are records, and those that are latents."""
    return {RECORDS: jax.tree.leaves(records[:-2]), LATENTS: [records.deter, records.stoch]}
