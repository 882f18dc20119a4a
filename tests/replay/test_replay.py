"""The replay buffer samples what was added: uniformly, new sequences first and once, and never torn.

Every leaf of a record depends on its stream and its id, so any batch can be checked against its `rows`.
"""

import json
from collections import deque
from collections.abc import Callable
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.experience import Experience
from reverie.replay import Replay, Rows, Sample, read_run, split_episodes
from reverie.storage import Part, Store

DETER, STOCH = 3, 2
TEMPLATE = Experience(
    observation={"image": np.zeros((4, 5, 3), np.uint8), "where": np.zeros(2, np.int32)},
    action={"move": np.zeros((), np.int32)},
    reward=np.zeros((), np.float32),
    is_first=np.zeros((), bool),
    is_last=np.zeros((), bool),
    is_terminal=np.zeros((), bool),
    deter=np.zeros(DETER, np.float32),
    stoch=np.zeros(STOCH, np.uint8),
)
NBYTES = 4 * 5 * 3 + 2 * 4 + 4 + 4 + 3 + DETER * 4 + STOCH

shapes = st.fixed_dictionaries(
    {"num_envs": st.integers(1, 3), "sequence": st.integers(2, 5), "segment": st.integers(1, 7)}
)


def contents(stream: np.ndarray, time: np.ndarray) -> Experience:
    """The records with ids `time` of `stream` (broadcast together); every leaf but the flags identifies them."""
    where = np.stack(np.broadcast_arrays(stream, time), axis=-1)
    mixed = where @ [101, 7]
    never = np.zeros(mixed.shape, bool)
    image = np.broadcast_to(mixed[..., None, None, None] % 256, (*mixed.shape, 4, 5, 3))
    return Experience(
        observation={"image": image.astype(np.uint8), "where": where.astype(np.int32)},
        action={"move": mixed.astype(np.int32)},
        reward=mixed.astype(np.float32),
        is_first=never,
        is_last=never,
        is_terminal=never,
        deter=latents(mixed, DETER, np.float32),
        stoch=latents(mixed, STOCH, np.uint8),
    )


def latents(values: np.ndarray, size: int, dtype: type) -> np.ndarray:
    return np.repeat(values[..., None] % 256, size, axis=-1).astype(dtype)


def record(num_envs: int, time: int, **flags: list[bool]) -> Experience:
    """The record with id `time` of each stream."""
    plain = contents(np.arange(num_envs), np.array(time))
    return plain._replace(**{name: np.array(values) for name, values in flags.items()})


def make(num_envs: int, length: int, sequence: int, steps: int = 0, **options: int) -> Replay:
    """A buffer of `length` records per stream, to which `steps` have been added."""
    capacity = num_envs * length
    replay = Replay(TEMPLATE, capacity=capacity, num_envs=num_envs, sequence=sequence, **options)
    fill(replay, num_envs, range(steps))
    return replay


def fill(replay: Replay, num_envs: int, times: range) -> None:
    for time in times:
        replay.add(record(num_envs, time))


def starts(rows: Rows) -> list[tuple[int, int]]:
    return list(zip(rows.stream.tolist(), rows.first.tolist(), strict=True))


def check_whole(sample: Sample, sequence: int, truth: np.ndarray | None = None) -> None:
    """Check that every sequence consists of the consecutive records that `rows` names.

    `truth` has the latents of each stream and id, if any have been written.
    """
    stream, time = sample.rows.stream[:, None], sample.rows.first[:, None] + np.arange(sequence)
    expected = contents(stream, time)
    if truth is not None:
        values = truth[stream, time]
        expected = expected._replace(deter=latents(values, DETER, np.float32), stoch=latents(values, STOCH, np.uint8))
    expected = expected._replace(deter=expected.deter[:, :1], stoch=expected.stoch[:, :1])  # those of the context
    for got, leaf in zip(jax.tree.leaves(sample.experience), jax.tree.leaves(expected), strict=True):
        assert got.dtype == leaf.dtype
        assert got.shape == leaf.shape
        assert (got == leaf).all()


# Sampling


@pytest.mark.parametrize(
    ("num_envs", "length", "sequence", "steps", "segment"),
    [
        pytest.param(1, 40, 5, 33, 1024, id="filling"),
        pytest.param(1, 20, 5, 20, 8, id="just full"),
        pytest.param(1, 20, 5, 47, 8, id="wrapped"),
        pytest.param(3, 16, 4, 9, 5, id="streams"),
        pytest.param(3, 16, 4, 100, 5, id="streams wrapped"),
        pytest.param(2, 4, 4, 9, 3, id="one start each"),
    ],
)
def test_uniform_over_every_start(num_envs: int, length: int, sequence: int, steps: int, segment: int) -> None:
    replay = make(num_envs, length, sequence, steps, segment=segment, online=False)
    firsts = range(max(0, steps - length), steps - sequence + 1)
    expected = {(stream, first) for stream in range(num_envs) for first in firsts}
    assert replay.num_sequences == len(expected)

    per_start = 200
    drawn = [start for _ in range(per_start) for start in starts(replay.sample(len(expected)).rows)]
    assert set(drawn) == expected
    counts = np.array([drawn.count(start) for start in expected])
    degrees = len(expected) - 1
    chi_square = np.sum((counts - per_start) ** 2) / per_start
    # Mean and variance of the chi-square distribution: `degrees` and twice that.
    assert abs(chi_square - degrees) < 4 * np.sqrt(2 * degrees)


@settings(deadline=None, max_examples=60)
@given(shape=shapes, extra=st.integers(0, 12), steps=st.integers(0, 30), online=st.booleans())
def test_sequences_are_whole(shape: dict[str, int], extra: int, steps: int, online: bool) -> None:
    sequence = shape["sequence"]
    replay = make(length=sequence + extra, steps=sequence + steps, online=online, **shape)
    sample = replay.sample(6)
    assert sample.rows.first.dtype == sample.rows.stream.dtype == np.int64
    assert min(first for _, first in starts(sample.rows)) >= max(0, steps - extra)
    check_whole(sample, sequence)


def test_seed_decides() -> None:
    draws = [make(2, 50, 5, 50, online=False, seed=seed).sample(16).rows for seed in (1, 1, 2)]
    assert starts(draws[0]) == starts(draws[1]) != starts(draws[2])


def test_samples_own_their_memory() -> None:
    replay = make(1, 5, 5, 5, online=False)
    one, other = replay.sample(2).experience, replay.sample(2).experience
    for mine, theirs in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert not np.shares_memory(mine, theirs)
        mine[...] = 99
    check_whole(replay.sample(1), 5)
    fill(replay, 1, range(5, 10))
    assert other.observation["where"][0, :, 1].tolist() == [0, 1, 2, 3, 4]


# The online queue


def test_online_records_tile_each_stream() -> None:
    num_envs, sequence, steps = 2, 5, 4 * 6 + 3
    replay = make(num_envs, 100, sequence, steps)
    online = starts(replay.sample(num_envs * 6).rows)
    for stream in range(num_envs):
        firsts = [first for owner, first in online if owner == stream]
        trained = [first + offset for first in firsts for offset in range(1, sequence)]
        assert trained == list(range(1, 4 * 6 + 1))
    assert online[:3] == [(0, 0), (1, 0), (0, 4)]  # in the order of completion


def test_online_off() -> None:
    on, off = (starts(make(1, 200, 5, 200, online=online).sample(8).rows) for online in (True, False))
    assert on == [(0, 4 * index) for index in range(8)]
    assert on != off


@settings(deadline=None, max_examples=60)
@given(
    shape=shapes,
    extra=st.integers(0, 20),
    actions=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), min_size=1, max_size=12),
)
def test_online_each_once_and_first(shape: dict[str, int], extra: int, actions: list[tuple[int, int]]) -> None:
    """Compare with a naive queue while records are added, sampled and overwritten."""
    num_envs, sequence = shape["num_envs"], shape["sequence"]
    length = sequence + extra
    replay = make(length=length, steps=sequence, **shape)
    queue = deque((stream, 0) for stream in range(num_envs))
    count = sequence
    for steps, batch in actions:
        for _ in range(steps):
            replay.add(record(num_envs, count))
            count += 1
            if (count - 1) % (sequence - 1) == 0:
                queue.extend((stream, count - sequence) for stream in range(num_envs))
        queue = deque((stream, first) for stream, first in queue if first >= count - length)
        fresh = [queue.popleft() for _ in range(min(batch, len(queue)))]
        sample = replay.sample(batch)
        assert starts(sample.rows)[: len(fresh)] == fresh
        assert len(sample.rows.first) == batch
        check_whole(sample, sequence)


# Latents


@settings(deadline=None, max_examples=60)
@given(
    shape=shapes,
    extra=st.integers(0, 9),
    actions=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), min_size=1, max_size=12),
)
def test_latents_are_written_where_they_belong(
    shape: dict[str, int], extra: int, actions: list[tuple[int, int]]
) -> None:
    """Compare with one array per stream that forgets nothing; updates arrive up to three samples late."""
    num_envs, sequence = shape["num_envs"], shape["sequence"]
    replay = make(length=sequence + extra, steps=sequence, **shape)
    truth = contents(np.arange(num_envs)[:, None], np.arange(sequence + 9 * 12)).reward.astype(int)
    late: deque[Rows] = deque()
    count, batch = sequence, 3
    new = np.arange(batch * (sequence - 1)).reshape(batch, sequence - 1)
    for steps, patience in actions:
        fill(replay, num_envs, range(count, count + steps))
        count += steps
        sample = replay.sample(batch)
        late.append(sample.rows)
        check_whole(sample, sequence, truth)
        while len(late) > patience:
            rows = late.popleft()
            new = new + new.size
            replay.write_latents(rows, latents(new, DETER, np.float32), latents(new, STOCH, np.uint8))
            for (stream, first), values in zip(starts(rows), new, strict=True):
                truth[stream, first + 1 : first + sequence] = values


def test_latents_skip_what_was_overwritten() -> None:
    replay = make(1, 6, 4, 6)
    rows = replay.sample(1).rows  # records 0 … 3
    deter, stoch = np.full((1, 3, DETER), -1, np.float32), np.full((1, 3, STOCH), 255, np.uint8)
    fill(replay, 1, range(6, 9))  # overwrites 0 … 2
    replay.write_latents(rows, deter, stoch)
    (held,) = replay.recordings()
    kept = dict(zip(held.observation["where"][:, 1], held.deter[:, 0], strict=True))
    assert kept == {3: -1, 4: 4 * 7, 5: 5 * 7, 6: 6 * 7, 7: 7 * 7, 8: 8 * 7}
    fill(replay, 1, range(9, 30))
    replay.write_latents(rows, deter, stoch)
    assert replay.recordings()[0].deter.min() > 0


def test_latents_may_come_in_another_precision() -> None:
    replay = make(1, 4, 4, 4)
    rows = replay.sample(1).rows
    deter = jax.numpy.full((1, 3, DETER), 1.5, jax.numpy.bfloat16)
    replay.write_latents(rows, deter, np.ones((1, 3, STOCH), np.int64))
    (held,) = replay.recordings()
    assert held.deter[:, 0].tolist() == [0, 1.5, 1.5, 1.5]
    assert held.stoch[:, 0].tolist() == [0, 1, 1, 1]


# Episodes that were cut off


@pytest.mark.parametrize("segment", [1, 2, 1024])
def test_cut_off_is_marked_last(segment: int) -> None:
    """Stream 0 is cut off after record 2, stream 1 ends there, stream 2 continues; the buffer holds 4 records."""
    replay = make(3, 4, 4, segment=segment)
    for time in range(8):
        again = time % 4 == 3
        replay.add(
            record(
                3,
                time,
                is_first=[again, again, time == 0],
                is_last=[False, time % 4 == 2, False],
                is_terminal=[False, time % 4 == 2, False],
            )
        )
        if time >= 3:
            sample = replay.sample(3)
            while set(sample.rows.stream) != {0, 1, 2} or set(sample.rows.first) != {time - 3}:
                sample = replay.sample(3)
            order = np.argsort(sample.rows.stream)
            last = [(time - 3 + offset) % 4 == 2 for offset in range(4)]
            # That the newest record was cut off is known once the next one has arrived.
            known = [cut and offset < 3 for offset, cut in enumerate(last)]
            assert sample.experience.is_last[order].tolist() == [known, last, [False] * 4]
            assert sample.experience.is_terminal[order].tolist() == [[False] * 4, last, [False] * 4]


def test_first_record_of_all_marks_nothing() -> None:
    replay = make(1, 2, 2)
    replay.add(record(1, 0, is_first=[True]))
    replay.add(record(1, 1))
    assert not replay.sample(1).experience.is_last.any()


# Checkpoints


def saved(replay: Replay) -> tuple[dict, Callable]:
    """Save like a checkpoint: the state as JSON, and a copy of every part."""
    pieces = {name: copy() for name, (_, copy) in replay.parts().items()}
    return json.loads(json.dumps(replay.state())), pieces.__getitem__


def go_on(replay: Replay, num_envs: int, start: int) -> list[Sample]:
    samples = []
    for time in range(start, start + 20):
        replay.add(record(num_envs, time))
        samples.append(replay.sample(3))
        new = np.random.default_rng(time).integers(0, 99, (3, 3, DETER + STOCH))
        replay.write_latents(samples[-1].rows, new[..., :DETER].astype(np.float32), new[..., DETER:])
    return samples


@pytest.mark.parametrize("steps", [0, 1, 7, 17, 18, 60])
@pytest.mark.parametrize("draws", [0, 1, 5])
def test_a_restored_replay_continues_bit_for_bit(steps: int, draws: int) -> None:
    original = make(2, 17, 4, steps, segment=5, seed=3)
    if original.ready():
        for _ in range(draws):
            original.sample(3)
    state = saved(original)
    fill(original, 2, range(steps, steps + 3))  # the saved copy must not see what follows
    resumed = make(2, 17, 4, 9, segment=5, seed=4)
    assert resumed.restore(*state)
    assert len(resumed) == 2 * min(steps, 17)
    fill(resumed, 2, range(steps, steps + 3))
    if not original.ready():
        fill(original, 2, range(3, 4))
        fill(resumed, 2, range(3, 4))
        steps = 1
    expected, got = go_on(original, 2, steps + 3), go_on(resumed, 2, steps + 3)
    jax.tree.map(np.testing.assert_array_equal, got, expected)


def test_only_what_changes_has_a_new_version() -> None:
    replay = make(2, 20, 4, 12, segment=5)

    def versions() -> dict[str, int]:
        return {name: version for name, (version, _) in replay.parts().items()}

    before = versions()
    assert set(before) == {f"{kind}.{index:06d}" for kind in ("records", "latents") for index in range(3)}
    rows = Rows(np.array([1]), np.array([3]))  # the records 4, 5 and 6, over two segments
    replay.write_latents(rows, np.ones((1, 3, DETER), np.float32), np.ones((1, 3, STOCH), np.uint8))
    after = versions()
    assert {name for name in after if after[name] != before[name]} == {"latents.000000", "latents.000001"}
    replay.add(record(2, 12))
    last = versions()
    assert {name for name in last if last[name] != after[name]} == {"records.000002", "latents.000002"}
    fill(replay, 2, range(13, 21))  # around the end of the ring
    wrapped = versions()
    assert {name for name in last if wrapped[name] != last[name]} == {
        f"{kind}.{index:06d}" for kind in ("records", "latents") for index in (0, 2)
    }


@pytest.mark.parametrize("length", [6, 11, 30])
def test_restore_into_another_capacity(length: int) -> None:
    original = make(2, 11, 4, 25, segment=4)
    replay = make(2, length, 4, segment=7)
    replay.restore(*saved(original))
    assert len(replay) == 2 * min(length, 11)
    for time in range(25, 70):
        sample = replay.sample(8)
        assert sample.rows.first.min() >= max(14, time - length)
        assert sample.rows.first.max() <= time - 4
        check_whole(sample, 4)
        replay.add(record(2, time))
    assert len(replay) == 2 * length


def test_without_a_saved_online_queue_only_new_records_are_queued() -> None:
    replay = make(2, 100, 4)
    replay.restore(*saved(make(2, 100, 4, 25, online=False)))
    fill(replay, 2, range(25, 28))
    assert starts(replay.sample(4).rows)[:2] == [(0, 24), (1, 24)]
    offline = make(2, 100, 4, online=False)
    offline.restore(*saved(make(2, 100, 4, 25)))
    check_whole(offline.sample(4), 4)


def test_restore_refuses_what_does_not_fit() -> None:
    replay = make(2, 10, 4, 10)
    before = replay.state()
    other = Replay(TEMPLATE._replace(deter=np.zeros(7, np.float32)), capacity=20, num_envs=2, sequence=4)
    other.add(record(2, 0)._replace(deter=np.zeros((2, 7), np.float32)))
    with pytest.raises(ValueError, match=r"'deter' is float32 \(2, 1, 7\), expected float32 \(2, 1, 3\). Restore with"):
        replay.restore(*saved(other))
    state, read = saved(make(2, 10, 4, 10))
    with pytest.raises(ValueError, match="impossible counters: length=5"):
        replay.restore(state | {"length": 5}, read)
    assert replay.state() == before


@pytest.mark.parametrize("num_envs", [1, 2, 3, 5])
def test_restore_keeps_or_drops_streams(num_envs: int) -> None:
    """The saved buffer has three streams of 30 records, of which it holds 20."""
    replay = make(num_envs, 20, 4, segment=7)
    assert replay.restore(*saved(make(3, 20, 4, 30, segment=7))) == (num_envs == 3)
    common = min(num_envs, 3)
    assert len(replay) == 20 * common
    assert {stream for stream, _ in starts(replay.sample(200).rows)} == set(range(common))
    for time in range(30, 60):  # the streams differ in length until the new ones are full
        sample = replay.sample(16)
        old = np.flatnonzero(sample.rows.stream < 3)
        check_whole(jax.tree.map(partial(np.take, indices=old, axis=0), sample), 4)
        replay.add(record(num_envs, time))
    assert len(replay) == 20 * num_envs


WRONG = [None, True, -1, 0, 1, 5, 10**9, 10**12, 2**63, 10**399, float("inf"), "2", [], [3], [3, 3], [-1, 2], [[1], 2]]


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_any_state_is_restored_or_refused(data: st.DataObject) -> None:
    original, replay = make(2, 11, 4, 25, segment=4), make(2, 11, 4, segment=4)
    state, read = saved(original)
    name = data.draw(st.sampled_from(sorted(state)))
    try:
        replay.restore(state | {name: data.draw(st.sampled_from(WRONG))}, read)
    except (ValueError, KeyError):  # a KeyError: a part that does not exist
        assert len(replay) == 0
    else:
        replay.sample(4)


# Reading everything


def test_recordings_are_all_that_is_held() -> None:
    replay = make(2, 11, 4, 25, segment=4)
    for stream, recording in enumerate(replay.recordings()):
        expected = contents(np.array(stream), np.arange(14, 25))
        jax.tree.map(np.testing.assert_array_equal, recording, expected)


def test_episodes_begin_where_the_environment_was_reset() -> None:
    replay = make(2, 30, 4)
    for time in range(20):
        first, last = time % 6 == 0, time % 6 == 5
        replay.add(record(2, time, is_first=[first, False], is_last=[last, False]))
    episodes = list(replay.episodes())
    assert [len(episode.reward) for episode in episodes] == [6, 6, 6, 2, 20]
    assert [bool(episode.is_last[-1]) for episode in episodes] == [True, True, True, False, False]
    np.testing.assert_array_equal(episodes[1].observation["where"][:, 1], np.arange(6, 12))
    assert list(make(2, 30, 4).episodes()) == []


def test_a_run_is_read_like_the_live_buffer(tmp_path) -> None:
    replay = make(2, 11, 4, 9, segment=4)
    for time in range(9, 25):
        replay.add(record(2, time), np.array([True, time % 2 == 0]))
    store = Store(tmp_path / "checkpoints")
    parts = {f"replay.{name}": Part(*part) for name, part in replay.parts().items()}
    assert store.save(1, {"replay": replay.state()}, parts, wait=True)
    store.close()
    recordings = read_run(tmp_path)
    jax.tree.map(np.testing.assert_array_equal, recordings, replay.recordings())
    assert len(list(split_episodes(recordings[0]))) == 1
    with pytest.raises(ValueError, match="has no checkpoint to read"):
        read_run(tmp_path / "elsewhere")


# Memory


def test_memory_grows_by_segments() -> None:
    replay = Replay(TEMPLATE, capacity=2 * 10**12, num_envs=2, sequence=4, segment=8)
    assert replay.nbytes_per_record == NBYTES
    assert replay.nbytes == len(replay) == 0
    assert replay.nbytes_full == 2 * 10**12 * NBYTES
    for time in range(20):
        replay.add(record(2, time))
        assert replay.nbytes == NBYTES * 2 * 8 * (time // 8 + 1)
        assert len(replay) == 2 * (time + 1)


def test_memory_of_a_full_replay() -> None:
    replay = Replay(TEMPLATE, capacity=3 * 21 + 2, num_envs=3, sequence=4, segment=8)  # 21 each, two to spare
    fill(replay, 3, range(50))
    assert replay.nbytes == replay.nbytes_full == NBYTES * 3 * 21
    assert len(replay) == 3 * 21


# Errors


def test_no_sample_before_a_whole_sequence() -> None:
    replay = make(2, 10, 4, 3)
    assert not replay.ready()
    assert replay.num_sequences == 0
    with pytest.raises(RuntimeError, match=r"streams hold 3 records at most and a sequence needs 4"):
        replay.sample(1)
    fill(replay, 2, range(3, 4))
    assert replay.ready()
    assert replay.num_sequences == 2
    replay.sample(5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reward": np.zeros(2, np.float64)}, r"'reward' is float64 \(2,\), expected float32 \(2,\)"),
        ({"reward": np.zeros(3, np.float32)}, r"'reward' is float32 \(3,\), expected float32 \(2,\)"),
        ({"stoch": np.zeros((2, 9), np.uint8)}, r"'stoch' is uint8 \(2, 9\), expected uint8 \(2, 2\)"),
        ({"action": {"move": np.int32(0)}}, r"'action.move' is int32 \(\), expected int32 \(2,\)"),
        (
            {"observation": {"where": np.zeros((2, 2), np.int32)}},
            r"missing=\['observation.image'\], unknown=",
        ),
        ({"action": {"jump": np.zeros(2, np.int32)}}, r"\['action.move'\], unknown=\['action.jump'\]"),
    ],
)
def test_add_refuses_other_records(change: dict, message: str) -> None:
    replay = make(2, 10, 4)
    with pytest.raises(ValueError, match=message):
        replay.add(record(2, 0)._replace(**change))
    assert len(replay) == 0


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 4, DETER), (2, 3, STOCH)), r"'deter' has the shape \(2, 4, 3\), expected \(2, 3, 3\)"),
        (((2, 3, DETER), (2, 3, STOCH, 9)), r"'stoch' has the shape \(2, 3, 2, 9\), expected \(2, 3, 2\)"),
        (((1, 3, DETER), (2, 3, STOCH)), r"'deter' has the shape \(1, 3, 3\), expected \(2, 3, 3\)"),
    ],
)
def test_write_latents_refuses_other_shapes(shapes: tuple, message: str) -> None:
    replay = make(1, 10, 4, 10)
    with pytest.raises(ValueError, match=message):
        replay.write_latents(replay.sample(2).rows, *(np.zeros(shape, np.float32) for shape in shapes))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"capacity": 19, "num_envs": 4, "sequence": 5}, r"that is 4 records each.*capacity of at least 20"),
        ({"capacity": 19, "num_envs": 4, "sequence": 1}, r"sequence is 1"),
        ({"capacity": 19, "num_envs": 0, "sequence": 2}, r"num_envs is 0"),
    ],
)
def test_refuses_sizes_that_hold_no_sequence(options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Replay(TEMPLATE, **options)


def test_recordings_are_loaded_as_if_they_had_been_added() -> None:
    """Of different lengths, in two rounds, one of them longer than its stream; the seams are ends of episodes."""
    num_envs, length = 3, 8
    replay = make(num_envs, length, sequence=3, segment=5)
    rounds = [np.array([3, 0, 12]), np.array([2, 4, 1])]
    received = np.zeros(num_envs, int)
    for lengths in rounds:
        times = received[:, None] + np.arange(lengths.max())
        replay.load(contents(np.arange(num_envs)[:, None], times), lengths)
        received += lengths
    for stream, recording in enumerate(replay.recordings()):
        held = np.arange(max(0, received[stream] - length), received[stream])
        np.testing.assert_array_equal(recording.reward, contents(np.array(stream), held).reward)
        seams = [rounds[0][stream] - 1] if rounds[0][stream] else []
        np.testing.assert_array_equal(held[recording.is_last], seams)
    drawn = replay.sample(200)
    assert len(set(starts(drawn.rows))) == sum(np.minimum(received, length) - 2)  # all of them, and none queued first
