"""Uniform sequence replay with an online queue and stored latents (Section 5 of the algorithm document).

May import: `experience` and the rest of this room.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay.device import DeviceStreams
from reverie.replay.host import File, HostStreams, Memory
from reverie.replay.layout import Layout, Leaves
from reverie.replay.online import OnlineQueue
from reverie.replay.streams import LATENT_LEAVES, LATENTS, RECORDS, Array, Streams, saved_counters

Home = Literal["memory", "disk", "device"]


class Rows(NamedTuple):
    """Where the sequences of a sample stand: b is the records first[b], first[b] + 1, … of stream[b]."""

    stream: np.ndarray  # (B,) int64
    first: np.ndarray  # (B,) int64, id of the context record, counted from the stream's start


class Sample(NamedTuple):
    """A batch of sequences, in arrays of its own."""

    experience: Experience  # leaves (B, T + 1, ...); the first record is the context
    rows: Rows


class Replay:
    """Keeps the newest records of N environments and draws sequences of T + 1 from them (Section 5).

    One stream per environment. Sequences never mix streams but may cross episode borders. Not thread-safe.

    Args:
        template: one record, without leading axes: gives shape and dtype of each leaf.
        capacity: records held over all streams; each stream holds `capacity // num_envs`.
        num_envs: streams, N.
        sequence: records per sequence, T + 1: one of context and T to train on.
        online: whether freshly collected sequences are handed out first, each once.
        seed: of the draws.
        segment: records per stream that are allocated, and saved, at a time.
        home: where records are kept: in the host's memory; in a file of the folder, for more than that; or in the
            device's memory, all allocated with the first record, for batches that need no copy from the host.
        folder: for "disk"; must be there when the first record is added.

    Raises:
        ValueError: where no sequence would fit, or there is no folder for a file.
    """

    def __init__(
        self,
        template: Experience,
        *,
        capacity: int,
        num_envs: int,
        sequence: int,
        online: bool = True,
        seed: int = 0,
        segment: int = 1024,
        home: Home = "memory",
        folder: Path | None = None,
    ) -> None:
        if num_envs < 1 or segment < 1:
            raise ValueError(f"num_envs is {num_envs} and segment {segment}; both must be at least 1.")
        if sequence < 2:
            raise ValueError(f"sequence is {sequence}, must be at least 2: a context and one to train on.")
        length = capacity // num_envs
        if length < sequence:
            raise ValueError(
                f"capacity is {capacity}: over {num_envs} streams that is {length} records each, less than "
                f"one sequence of {sequence}. Use a capacity of at least {num_envs * sequence}."
            )
        self._num_envs = num_envs
        self._sequence = sequence
        self._layout = Layout(template)
        self._new_streams = partial(_streams, home, folder, self._layout, num_envs, length, segment)
        self._streams = self._new_streams()
        self._online = OnlineQueue(num_envs, sequence) if online else None
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def __len__(self) -> int:
        """Records held, over all streams."""
        return int(self._streams.held.sum())

    @property
    def capacity(self) -> int:
        """Records held at most, over all streams."""
        return self._num_envs * self._streams.length

    @property
    def num_sequences(self) -> int:
        """Start positions to draw from, over all streams: the windows of T + 1 records that are held."""
        return int(self._starts.sum())

    @property
    def _starts(self) -> np.ndarray:
        """Of each stream, (N,)."""
        return np.maximum(0, self._streams.held - self._sequence + 1)

    def ready(self) -> bool:
        """Whether a sample, of any batch size, can be drawn."""
        return self.num_sequences > 0

    @property
    def nbytes_per_record(self) -> int:
        """Bytes of one record."""
        return self._layout.nbytes

    @property
    def nbytes(self) -> int:
        """Bytes allocated now."""
        return self._streams.nbytes

    @property
    def nbytes_full(self) -> int:
        """Bytes allocated once every stream is full."""
        return self._layout.nbytes * self.capacity

    @property
    def nbytes_per_latent(self) -> int:
        """Those of `nbytes_per_record` that every update refreshes."""
        return self._layout.nbytes_of(*LATENT_LEAVES)

    def reserve(self, records: int = 1) -> None:
        """Takes the room of the next records of each stream now.

        Raises:
            OSError: there is none; the replay is as it was.
        """
        self._streams.reserve(records)

    def add(self, record: Experience, which: np.ndarray | None = None) -> None:
        """Appends one record to each stream, leaves (N, ...), or to those alone of `which`, (N,) bool.

        Where an episode begins though the one before has not ended, the environment was restarted: the record
        before is marked `is_last`, so that no return is carried across. Its `is_terminal` stays.

        Raises:
            ValueError: where keys, shape or dtype of a leaf differ from the template's, naming the leaf.
        """
        everywhere = np.ones(self._num_envs, bool)
        checked = self._layout.check(jax.tree.map(np.asarray, record), self._num_envs)
        self._streams.append(checked, everywhere if which is None else which)

    def cut_off(self) -> None:
        """Marks the newest records as the last of their episodes, before others that `extend` brings. See `add`."""
        self._streams.cut_off(np.ones(self._num_envs, bool))

    def extend(self, records: Experience) -> None:
        """Appends several records to each stream, leaves (N, time, ...), which go on from those that are held.

        They may be the device's arrays; those of a replay at home there stay there.

        Raises:
            ValueError: as `add`.
        """
        self._streams.extend(self._layout.check(records, self._num_envs, records.reward.shape[1]))

    def sample(self, batch: int) -> Sample:
        """Draws B = `batch` sequences: first those of the online queue, then uniformly over all starts.

        Returns arrays that are allocated anew each time: a device may still be reading the ones before.

        Raises:
            RuntimeError: where every stream holds fewer than T + 1 records.
        """
        if not self.ready():
            raise RuntimeError(
                f"Nothing to sample yet: streams hold {self._streams.held.max()} records at most and a sequence needs "
                f"{self._sequence}. Add more before sampling; ready() tells when."
            )
        rows = self._draw(batch)
        return Sample(self._streams.read(rows.stream, rows.first, self._sequence), rows)

    def peek(self, batch: int, generator: np.random.Generator) -> Experience:
        """B sequences, drawn uniformly with a generator of the caller's: nothing that `sample` will draw changes."""
        rows = self._uniform(batch, generator)
        return self._streams.read(rows.stream, rows.first, self._sequence)

    def _draw(self, batch: int) -> Rows:
        oldest, count = self._streams.oldest, self._streams.count
        fresh = self._online.take(batch, oldest, count) if self._online else []
        fresh_stream, fresh_first = np.array(fresh, np.int64).reshape(-1, 2).T
        stream, first = self._uniform(batch - len(fresh), self._generator)
        return Rows(np.concatenate([fresh_stream, stream]), np.concatenate([fresh_first, first]))

    def _uniform(self, batch: int, generator: np.random.Generator) -> Rows:
        """Over all start positions of all streams."""
        uniform = generator.integers(self.num_sequences, size=batch)
        ends = np.cumsum(self._starts)
        stream = np.searchsorted(ends, uniform, side="right")
        return Rows(stream, self._streams.oldest[stream] + uniform - (ends - self._starts)[stream])

    def write_latents(self, rows: Rows, deter: Array, stoch: Array) -> None:
        """Stores the latents that an update computed for a sample, for later sequences to start from.

        Records that have been overwritten since are skipped. Where sequences of the batch overlap, the later
        one wins.

        Args:
            rows: the sample's.
            deter: (B, T, D), of the records after the context, which keeps its own. Cast to the stored dtype.
            stoch: (B, T, S) class indices, likewise.

        Raises:
            ValueError: where a shape is another one.
        """
        trained = self._sequence - 1
        for name, values in (("deter", deter), ("stoch", stoch)):
            expected = (len(rows.first), trained, *self._layout.shape(name))
            if values.shape != expected:
                raise ValueError(f"`{name}` is {values.shape}, expected {expected}: without the context.")
        self._streams.write_latents(rows.stream, rows.first + 1, deter, stoch)

    def state(self) -> dict[str, Any]:
        """All that a checkpoint needs besides `parts`, in JSON's types."""
        return {
            "num_envs": self._num_envs,
            "length": self._streams.length,
            "segment": self._streams.segment,
            "oldest": self._streams.oldest.tolist(),
            "count": self._streams.count.tolist(),
            "generator": _pack_generator(self._generator),
            "online": self._online.contexts.tolist() if self._online else None,
        }

    def parts(self) -> dict[str, tuple[int, Callable[[], Leaves]]]:
        """What is held, in pieces by name: each with its version, which grows when it changes, and a way to copy it.

        Records stay as they were collected; their latents change with every update and are pieces of their own.
        """

        return {
            f"{kind}.{index:06d}": (version, partial(self._streams.copy, index, kind))
            for (index, kind), version in self._streams.changed.items()
        }

    def restore(self, state: dict[str, Any], read: Callable[[str], Leaves]) -> bool:
        """Goes on from a `state`: with the same arguments, the samples to come are the same bit for bit.

        Capacity, sequence and segment may differ from the saved replay's; the newest records that fit are
        kept. If it had no online queue, all its records count as trained on. Where this raises, nothing has
        changed.

        Args:
            state: of the saved replay.
            read: gives one of its `parts` by name.

        Returns:
            Whether `parts` are the same as the saved ones.

        Raises:
            ValueError: where the state has another number of streams, or records of another template.
        """
        if (saved := int(state["num_envs"])) != self._num_envs:
            raise ValueError(
                f"The saved replay has {saved} streams, this one has {self._num_envs}. "
                f"Restore with num_envs={saved}, or start with an empty replay."
            )
        length, segment = int(state["length"]), int(state["segment"])
        oldest, count = saved_counters(state)
        if not (segment > 0 and np.all((oldest >= 0) & (oldest <= count) & (count <= oldest + length))):
            raise ValueError(f"The saved replay's counters can't be: {length=}, {segment=}, {oldest=}, {count=}.")
        streams = self._new_streams()
        kept = np.maximum(oldest, count - streams.length)[:, None]
        last = count[:, None] - 1
        for begin in range(0, min(int(count.max()), length), segment):
            slots = begin + np.arange(min(segment, min(int(count.max()), length) - begin))
            ids = last - (last - slots) % length  # the newest with this slot
            if (ids >= kept).any():
                streams.write(ids, ids >= kept, self._read(read, begin // segment, len(slots)))
        streams.oldest = oldest.copy()
        streams.advance(count)
        generator = _unpack_generator(state["generator"])
        if self._online:
            online = state["online"]
            self._online.contexts[:] = np.maximum(0, count - 1) if online is None else online
        self._streams, self._generator = streams, generator
        return (length, segment) == (streams.length, streams.segment)

    def _read(self, read: Callable[[str], Leaves], index: int, size: int) -> Experience:
        leaves = read(f"{RECORDS}.{index:06d}") | read(f"{LATENTS}.{index:06d}")
        try:
            return self._layout.check(self._layout.unnamed(leaves), self._num_envs, size)
        except ValueError as error:
            raise ValueError(
                f"The saved replay's records do not fit this one. {error} Restore with the environment and "
                "the model size that it was saved with, or start with an empty replay."
            ) from error


def _streams(home: Home, folder: Path | None, layout: Layout, num_envs: int, length: int, segment: int) -> Streams:
    """Empty ones."""
    if home == "device":
        return DeviceStreams(layout, num_envs, length, segment)
    if home == "memory":
        return HostStreams(layout, num_envs, length, segment, Memory(layout, num_envs))
    if folder is None:
        raise ValueError("A replay on disk needs a folder for its file.")
    return HostStreams(layout, num_envs, length, segment, File(layout, num_envs, length, segment, folder))


def _pack_generator(generator: np.random.Generator) -> list[int]:
    """The state of a PCG64 generator, two integers of 128 bits and a spare draw, as ten of 32 bits."""
    state = generator.bit_generator.state
    wide = state["state"]["state"], state["state"]["inc"]
    words = [number >> shift & 0xFFFFFFFF for number in wide for shift in (0, 32, 64, 96)]
    return [*words, state["has_uint32"], state["uinteger"]]


def _unpack_generator(packed: list[int]) -> np.random.Generator:
    words = [int(word) for word in packed]
    state, increment = (sum(word << 32 * i for i, word in enumerate(words[at : at + 4])) for at in (0, 4))
    generator = np.random.Generator(np.random.PCG64())
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": state, "inc": increment},
        "has_uint32": words[8],
        "uinteger": words[9],
    }
    return generator
