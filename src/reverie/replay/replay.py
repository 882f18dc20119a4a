"""`Replay`: uniform sequence replay with an online queue and stored latents (section 5 of the algorithm document).

May import: `experience`, `storage` and the rest of this room.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay.device import DeviceStreams
from reverie.replay.host import File, HostStreams, Memory
from reverie.replay.layout import Layout, Leaves
from reverie.replay.online import OnlineQueue
from reverie.replay.recording import split_episodes
from reverie.replay.saved import SavedReplay
from reverie.replay.streams import LATENT_LEAVES, LATENTS, RECORDS, Array, Streams
from reverie.storage import Document, Json

Home = Literal["memory", "disk", "device"]


class Rows(NamedTuple):
    """Where the sequences of a sample are: sequence b is the records first[b], first[b] + 1, … of stream[b]."""

    stream: np.ndarray  # (B,) int64
    first: np.ndarray  # (B,) int64, id of the context record


class Sample(NamedTuple):
    """A batch of sequences, in newly allocated arrays."""

    experience: Experience  # leaves (B, T + 1, ...); latents (B, 1, ...), only of the first record, the context
    rows: Rows


class Replay:
    """Holds the newest records of N environments and samples sequences of T + 1 records (section 5).

    There is one stream per environment. Sequences never mix streams but may cross episode boundaries. Not thread-safe.

    Args:
        template: one record without leading axes; gives the shape and dtype of each leaf.
        capacity: records held by all streams together; each stream holds `capacity // num_envs`.
        num_envs: the number of streams, N.
        sequence: records per sequence, T + 1: one for context and T to train on.
        online: whether freshly collected sequences are sampled first, each once.
        seed: of the sampling.
        segment: records per stream that are allocated, and saved, at a time.
        home: where records are stored. "memory": in host memory. "disk": in a file in `folder`, for more than that.
            "device": in device memory, allocated with the first record; batches need no copy from the host.
        folder: for "disk"; must exist when the first record is added.

    Raises:
        ValueError: no sequence would fit, or "disk" has no folder.
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
            raise ValueError(f"sequence is {sequence}, must be at least 2: one record for context and one to train on.")
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
        """The number of records held by all streams together."""
        return int(self._streams.held.sum())

    @property
    def capacity(self) -> int:
        """The number of records that all streams together can hold."""
        return self._num_envs * self._streams.length

    @property
    def num_sequences(self) -> int:
        """The number of sequences of T + 1 consecutive records, over all streams."""
        return int(self._starts.sum())

    @property
    def _starts(self) -> np.ndarray:
        """The number of sequences in each stream, (N,)."""
        return np.maximum(0, self._streams.held - self._sequence + 1)

    def ready(self) -> bool:
        """Whether there is a sequence to sample. The batch size does not matter."""
        return self.num_sequences > 0

    @property
    def nbytes_per_record(self) -> int:
        """The number of bytes of one record."""
        return self._layout.nbytes

    @property
    def nbytes(self) -> int:
        """The number of bytes allocated now."""
        return self._streams.nbytes

    @property
    def nbytes_full(self) -> int:
        """The number of bytes allocated once every stream is full."""
        return self._layout.nbytes * self.capacity

    @property
    def nbytes_per_latent(self) -> int:
        """The number of bytes of one record that every update refreshes."""
        return self._layout.nbytes_of(*LATENT_LEAVES)

    def reserve(self, records: int = 1) -> None:
        """Allocate memory for the next records of each stream.

        Raises:
            OSError: there is not enough; the buffer is unchanged.
        """
        self._streams.reserve(records)

    def add(self, record: Experience, which: np.ndarray | None = None) -> None:
        """Append one record to each stream, leaves (N, ...), or only to the streams in `which`, (N,) bool.

        An episode that begins before the previous one has ended means that the environment was restarted. The record
        before it is then marked `is_last`, so that returns stop there; its `is_terminal` stays.

        Raises:
            ValueError: a leaf has another key, shape or dtype than in the template; the message names it.
        """
        everywhere = np.ones(self._num_envs, bool)
        checked = self._layout.check(jax.tree.map(np.asarray, record), self._num_envs)
        self._streams.append(checked, everywhere if which is None else which)

    def cut_off(self) -> None:
        """Mark the newest records as the last of their episodes, like `add` does; call it before `extend`."""
        self._streams.cut_off(np.ones(self._num_envs, bool))

    def extend(self, records: Experience) -> None:
        """Append several consecutive records to each stream, leaves (N, time, ...).

        The leaves may be device arrays; if `home` is "device", they stay on the device.

        Raises:
            ValueError: like `add`.
        """
        self._streams.extend(self._layout.check(records, self._num_envs, records.reward.shape[1]))

    def load(self, records: Experience, lengths: np.ndarray) -> None:
        """Append recordings, one per stream, leaves (N, time, ...), of which the first `lengths` (N,) records count.

        Unlike what `add` and `extend` append, they don't enter the online queue: nothing of them is new. Of a recording
        that is longer than its stream, the newest records are kept.

        Raises:
            ValueError: like `add`.
            OSError: there is not enough memory; the buffer is unchanged.
        """
        time = records.reward.shape[1]
        checked = self._layout.check(records, self._num_envs, time)
        kept = np.arange(time) >= lengths[:, None] - self._streams.length
        which = kept & (np.arange(time) < lengths[:, None])
        ids = self._streams.count[:, None] + np.arange(time)
        self._streams.cut_off(lengths > 0)
        self._streams.write(ids, which, checked)
        self._streams.advance(self._streams.count + lengths)
        if self._online:
            self._online.contexts[:] = np.maximum(0, self._streams.count - 1)

    def sample(self, batch: int) -> Sample:
        """Sample B = `batch` sequences: first those in the online queue, then uniformly from all sequences.

        The arrays are newly allocated each time, because the device may still be reading the previous ones.

        Raises:
            RuntimeError: every stream holds fewer than T + 1 records.
        """
        if not self.ready():
            raise RuntimeError(
                f"Nothing to sample yet: streams hold {self._streams.held.max()} records at most and a sequence needs "
                f"{self._sequence}. Add more first; ready() tells when there are enough."
            )
        rows = self._draw(batch)
        return Sample(self._streams.read(rows.stream, rows.first, self._sequence, latents=1), rows)

    def peek(self, batch: int, generator: np.random.Generator) -> Experience:
        """Sample B = `batch` sequences uniformly, with another generator: later calls of `sample` are not affected."""
        rows = self._uniform(batch, generator)
        return self._streams.read(rows.stream, rows.first, self._sequence, latents=1)

    def _draw(self, batch: int) -> Rows:
        oldest, count = self._streams.oldest, self._streams.count
        fresh = self._online.take(batch, oldest, count) if self._online else []
        fresh_stream, fresh_first = np.array(fresh, np.int64).reshape(-1, 2).T
        stream, first = self._uniform(batch - len(fresh), self._generator)
        return Rows(np.concatenate([fresh_stream, stream]), np.concatenate([fresh_first, first]))

    def _uniform(self, batch: int, generator: np.random.Generator) -> Rows:
        """Sample uniformly from all sequences of all streams."""
        starts = self._starts
        ends = np.cumsum(starts)
        uniform = generator.integers(int(ends[-1]), size=batch)
        stream = np.searchsorted(ends, uniform, side="right")
        return Rows(stream, self._streams.oldest[stream] + uniform - (ends - starts)[stream])

    def write_latents(self, rows: Rows, deter: Array, stoch: Array) -> None:
        """Store the latents that an update computed for a sample; later sequences start from them.

        Records that have been overwritten since are skipped. Where sequences of the batch overlap, the later one wins.

        Args:
            rows: those of the sample.
            deter: (B, T, D), of all records but the context. Cast to the stored dtype.
            stoch: (B, T, S) class indices, likewise.

        Raises:
            ValueError: an array has another shape.
        """
        trained = self._sequence - 1
        for name, values in (("deter", deter), ("stoch", stoch)):
            expected = (len(rows.first), trained, *self._layout.shape(name))
            if values.shape != expected:
                raise ValueError(f"'{name}' has the shape {values.shape}, expected {expected}: without the context.")
        self._streams.write_latents(rows.stream, rows.first + 1, deter, stoch)

    def state(self) -> dict[str, Json]:
        """Everything that a checkpoint needs besides `parts`, in JSON's types."""
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
        """The contents in parts, by name: a version of each, which grows with every change, and a function to copy it.

        Records stay as they were collected. Their latents change with every update and are separate parts.
        """

        return {
            f"{kind}.{index:06d}": (version, partial(self._streams.copy, index, kind))
            for (index, kind), version in self._streams.changed.items()
        }

    def restore(self, state: Mapping[str, Json] | Document, read: Callable[[str], Leaves]) -> bool:
        """Continue from a saved `state`. With the same arguments, later samples are the same bit for bit.

        Capacity, sequence and segment may differ from the saved buffer's; the newest records that fit are kept. So may
        the number of streams: additional ones start empty, and surplus ones are dropped. If the saved buffer had no
        online queue, all its records count as trained on. If this raises, nothing has changed.

        Args:
            state: of the saved buffer.
            read: returns one of its `parts` by name.

        Returns:
            Whether `parts` are the same as the saved ones.

        Raises:
            ValueError: the state is damaged, or its records do not fit the template.
        """
        saved = SavedReplay.read(state)
        streams = self._new_streams()
        oldest, count = self._per_stream(saved.oldest), self._per_stream(saved.received)
        kept = np.maximum(oldest, count - streams.length)[:, None]
        for begin in saved.segments():
            ids = self._per_stream(saved.ids(begin), -1)
            if (ids >= kept).any():
                streams.write(ids, ids >= kept, self._read(read, begin // saved.segment, saved.streams, ids.shape[1]))
        streams.oldest = oldest.copy()
        streams.advance(count)
        if self._online:
            trained = np.maximum(0, count - 1) if saved.online is None else self._per_stream(saved.online)
            self._online.contexts[:] = trained
        self._streams, self._generator = streams, _unpack_generator(saved.generator)
        shape = saved.streams, saved.length, saved.segment
        return shape == (self._num_envs, streams.length, streams.segment)

    def _per_stream(self, values: np.ndarray, fill: int = 0) -> np.ndarray:
        """Values of the saved streams, (S, ...), for the N streams of this buffer."""
        fitted = np.full((self._num_envs, *values.shape[1:]), fill, values.dtype)
        common = min(len(values), self._num_envs)
        fitted[:common] = values[:common]
        return fitted

    def _read(self, read: Callable[[str], Leaves], index: int, streams: int, size: int) -> Experience:
        """The records of a saved segment, leaves (N, size, ...)."""
        leaves = read(f"{RECORDS}.{index:06d}") | read(f"{LATENTS}.{index:06d}")
        try:
            records = self._layout.check(self._layout.unnamed(leaves), streams, size)
        except ValueError as error:
            raise ValueError(
                f"The saved replay buffer's records do not fit this one. {error} Restore with the environment and "
                "the model size that it was saved with, or start with an empty buffer."
            ) from error
        return records if streams == self._num_envs else jax.tree.map(self._per_stream, records)

    def recordings(self) -> list[Experience]:
        """Copies of all records of each stream that holds any, in the order of time; leaves (T, ...)."""
        streams = self._streams
        return [
            jax.tree.map(
                lambda leaf: np.asarray(leaf)[0], streams.read(np.array([i]), streams.oldest[[i]], int(held), int(held))
            )
            for i, held in enumerate(streams.held)
            if held
        ]

    def episodes(self) -> Iterator[Experience]:
        """Copies of all episodes, stream by stream, leaves (T, ...); see `split_episodes`."""
        for recording in self.recordings():
            yield from split_episodes(recording)


def _streams(home: Home, folder: Path | None, layout: Layout, num_envs: int, length: int, segment: int) -> Streams:
    """Empty streams."""
    if home == "device":
        return DeviceStreams(layout, num_envs, length, segment)
    if home == "memory":
        return HostStreams(layout, num_envs, length, segment, Memory(layout, num_envs))
    if folder is None:
        raise ValueError("A replay buffer on disk needs a folder for its file.")
    return HostStreams(layout, num_envs, length, segment, File(layout, num_envs, length, segment, folder))


def _pack_generator(generator: np.random.Generator) -> list[int]:
    """The state of a PCG64 generator (two integers of 128 bits and a spare draw) as ten integers of 32 bits."""
    state = generator.bit_generator.state
    wide = state["state"]["state"], state["state"]["inc"]
    words = [number >> shift & 0xFFFFFFFF for number in wide for shift in (0, 32, 64, 96)]
    return [*words, state["has_uint32"], state["uinteger"]]


def _unpack_generator(packed: list[int]) -> np.random.Generator:
    state, increment = (sum(word << 32 * i for i, word in enumerate(packed[at : at + 4])) for at in (0, 4))
    generator = np.random.Generator(np.random.PCG64())
    generator.bit_generator.state = {
        "bit_generator": "PCG64",
        "state": {"state": state, "inc": increment},
        "has_uint32": packed[8],
        "uinteger": packed[9],
    }
    return generator
