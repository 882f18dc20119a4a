"""Every home of the replay buffer behaves like memory, whose behavior `test_replay` checks."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.experience import Experience
from reverie.replay import Home, Replay, Sample
from reverie.replay.host import File
from reverie.replay.layout import Layout

DETER, STOCH, ENVS, SEQUENCE, BATCH = 3, 2, 2, 5, 4
TEMPLATE = Experience(
    observation={"image": np.zeros((4, 5, 3), np.uint8), "where": np.zeros(2, np.int32)},
    action={"move": np.zeros((), np.int32)},
    reward=np.zeros((), np.float32),
    is_first=np.zeros((), bool),
    is_last=np.zeros((), bool),
    is_terminal=np.zeros((), bool),
    deter=np.zeros(DETER, jnp.bfloat16),
    stoch=np.zeros(STOCH, np.uint8),
)


def make(home: Home, folder: Path, length: int = 17, segment: int = 5) -> Replay:
    return Replay(
        TEMPLATE,
        capacity=ENVS * length,
        num_envs=ENVS,
        sequence=SEQUENCE,
        segment=segment,
        home=home,
        folder=folder,
    )


def random_record(rng: np.random.Generator) -> Experience:
    def draw(leaf: np.ndarray) -> np.ndarray:
        return rng.integers(0, 2 if leaf.dtype == bool else 99, (ENVS, *leaf.shape)).astype(leaf.dtype)

    return jax.tree.map(draw, TEMPLATE)


def live(replay: Replay, seed: int, steps: int, *, late: int = 1) -> list[Sample]:
    """Add records with random flags, sample batches, and write latents back `late` samples later."""
    rng, samples = np.random.default_rng(seed), list[Sample]()
    for _ in range(steps):
        replay.add(random_record(rng))
        if not replay.ready():
            continue
        samples.append(replay.sample(BATCH))
        deter = rng.integers(0, 99, (BATCH, SEQUENCE - 1, DETER)).astype(np.float32)
        stoch = rng.integers(0, 99, (BATCH, SEQUENCE - 1, STOCH)).astype(np.uint8)
        if len(samples) > late:
            replay.write_latents(samples[-1 - late].rows, jnp.asarray(deter, jnp.bfloat16), jnp.asarray(stoch))
    return samples


def contents(replay: Replay) -> dict[str, dict[str, np.ndarray]]:
    return {name: copy() for name, (_, copy) in replay.parts().items()}


def assert_equal(ours: object, theirs: object) -> None:
    for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("home", ["disk", "device"])
@pytest.mark.parametrize(
    ("length", "segment", "late"),
    [
        pytest.param(50, 64, 1, id="filling"),
        pytest.param(17, 5, 1, id="around the ring"),
        pytest.param(7, 3, 4, id="latents of records that are gone"),
    ],
)
def test_every_home_does_what_memory_does(tmp_path, home, length, segment, late):
    plain, other = make("memory", tmp_path, length, segment), make(home, tmp_path, length, segment)
    for seed in range(3):
        expected, got = live(plain, seed, 15, late=late), live(other, seed, 15, late=late)
        assert len(got) > 10
        assert_equal(got, expected)
        assert_equal(contents(other), contents(plain))
    assert {name: version for name, (version, _) in other.parts().items()} == {
        name: version for name, (version, _) in plain.parts().items()
    }


@pytest.mark.parametrize("before", ["memory", "disk", "device"])
@pytest.mark.parametrize("after", ["memory", "disk", "device"])
def test_a_run_may_move_from_one_home_to_another(tmp_path, before, after):
    original, resumed = make(before, tmp_path), make(after, tmp_path)
    live(original, 0, 40)
    pieces = contents(original)
    assert resumed.restore(original.state(), pieces.__getitem__)
    assert_equal(contents(resumed), pieces)
    assert_equal(live(resumed, 1, 25), live(original, 1, 25))


@pytest.mark.parametrize("home", ["memory", "disk", "device"])
def test_the_later_of_overlapping_sequences_wins(tmp_path, home):
    replay = make(home, tmp_path, length=SEQUENCE)
    rng = np.random.default_rng(0)
    for _ in range(SEQUENCE):
        replay.add(random_record(rng))
    rows = replay.sample(BATCH).rows
    assert len({*zip(rows.stream.tolist(), rows.first.tolist(), strict=True)}) < BATCH
    values = np.arange(BATCH)[:, None, None]
    deter = np.broadcast_to(values, (BATCH, SEQUENCE - 1, DETER)).astype(np.float32)
    stoch = np.broadcast_to(values, (BATCH, SEQUENCE - 1, STOCH)).astype(np.uint8)
    replay.write_latents(rows, deter, stoch)
    newest = {stream: index for index, stream in enumerate(rows.stream.tolist())}
    records = replay.recordings()
    assert all((records[stream].stoch[1:] == index).all() for stream, index in newest.items())


@pytest.mark.parametrize("home", ["memory", "disk", "device"])
def test_allocated_bytes_are_as_announced(tmp_path, home):
    replay = make(home, tmp_path, length=20, segment=10)
    assert replay.nbytes == 0
    live(replay, 0, 1)
    assert replay.nbytes == replay.nbytes_full if home == "device" else replay.nbytes == replay.nbytes_full / 2
    live(replay, 0, 40)
    assert replay.nbytes == replay.nbytes_full


def test_device_samples_are_on_the_device_and_never_change(tmp_path):
    replay = make("device", tmp_path)
    sample = live(replay, 0, 20)[-1]
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(sample.experience))
    before = jax.tree.map(np.array, sample.experience)
    live(replay, 1, 20)
    assert_equal(sample.experience, before)


# Files


def test_files_vanish_with_the_process(tmp_path):
    """They have no names, so even a killed process leaves none behind."""
    replay = make("disk", tmp_path)
    live(replay, 0, 40)
    assert list(tmp_path.iterdir()) == []
    assert len(replay) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files are counted in other ways")
def test_all_segments_share_one_file(tmp_path):
    """A process may only have some hundreds of open files."""
    before = len(os.listdir("/proc/self/fd"))
    replay = make("disk", tmp_path, length=400, segment=1)
    live(replay, 0, 400)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


def test_disk_without_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="needs a folder"):
        Replay(TEMPLATE, capacity=50, num_envs=2, sequence=5, home="disk")


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room can't be taken in advance here")
def test_a_full_disk_is_an_error_and_does_not_kill_the_process(tmp_path):
    (mount := tmp_path / "small").mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mount)], capture_output=True).returncode:
        pytest.skip("only an administrator can make a small disk")
    try:
        allocate = File(Layout(TEMPLATE), 2, 10_000, 3000, mount).allocate
        first, _ = allocate(0, 3000), allocate(1, 3000)
        with pytest.raises(OSError, match="No space left on device; the replay buffer is in .* and needs") as error:
            allocate(2, 3000)
        assert error.value.errno == errno.ENOSPC
        first.observation["image"][...] = 7  # its disk space was reserved
        assert (first.observation["image"] == 7).all()
    finally:
        subprocess.run(["umount", "--lazy", str(mount)], check=True)


def test_leaves_in_a_file_do_not_touch(tmp_path):
    file = File(Layout(TEMPLATE), 3, 20, 7, tmp_path)
    leaves = [leaf for index, size in enumerate((7, 7, 6)) for leaf in jax.tree.leaves(file.allocate(index, size))]
    assert [leaf.shape[:2] for leaf in leaves[:: len(leaves) // 3]] == [(3, 7), (3, 7), (3, 6)]
    assert all(leaf.flags.aligned for leaf in leaves)
    for number, leaf in enumerate(leaves):
        leaf[...] = number
    for number, leaf in enumerate(leaves):
        assert (leaf == leaf.dtype.type(number)).all()


# More than there is memory

LARGER_THAN_MEMORY = """
import resource, sys
import numpy as np
import jax
from pathlib import Path
from reverie.experience import Experience
from reverie.replay import Replay
flag = np.zeros((), bool)
image, number = np.zeros((64, 64, 3), np.uint8), np.zeros((), np.float32)
template = Experience({"image": image}, {"a": number}, number, flag, flag, flag, np.zeros(8), np.zeros(4, np.uint8))
replay = Replay(template, capacity=40_000, num_envs=2, sequence=65, home="disk", folder=Path(sys.argv[1]))
record = jax.tree.map(lambda x: np.zeros((2, *x.shape), x.dtype), template)
def anonymous():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("RssAnon"))
before = anonymous()
for step in range(20_000):
    record.observation["image"][:] = step % 251
    replay.add(record)
images = np.asarray(replay.sample(16).experience.observation["image"][..., 0, 0, 0]).astype(int)
assert (np.diff(images, axis=1) % 251 == 1).all()
print(anonymous() - before, replay.nbytes_full)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is counted in other ways")
def test_records_on_disk_take_only_memory_that_the_system_can_reclaim(tmp_path):
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", LARGER_THAN_MEMORY, str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(source)},
    )
    assert done.returncode == 0, done.stderr
    taken, held = map(int, done.stdout.split())
    assert taken < held / 10


def uneven(replay: Replay, seed: int, steps: int) -> tuple[list[Sample], list[list[float]]]:
    """Like `live`, but one stream seldom advances; also returns the rewards that each received."""
    rng, samples, given = np.random.default_rng(seed), list[Sample](), [list[float]() for _ in range(ENVS)]
    for _ in range(steps):
        record, which = random_record(rng), rng.random(ENVS) < [1, 0.3]
        replay.add(record, which)
        for stream in np.flatnonzero(which):
            given[stream].append(float(record.reward[stream]))
        if replay.ready():
            samples.append(replay.sample(BATCH))
            deter = rng.integers(0, 99, (BATCH, SEQUENCE - 1, DETER)).astype(np.float32)
            stoch = rng.integers(0, 99, (BATCH, SEQUENCE - 1, STOCH)).astype(np.uint8)
            replay.write_latents(samples[-1].rows, deter, stoch)
    return samples, given


@pytest.mark.parametrize("home", ["memory", "disk", "device"])
def test_streams_need_not_advance_together(tmp_path, home):
    plain, other = make("memory", tmp_path), make(home, tmp_path)
    samples, given = uneven(other, 0, 60)
    assert len(given[1]) < 30 < len(given[0])
    for sample in samples:
        for row, (stream, first) in enumerate(zip(*sample.rows, strict=True)):
            expected = given[stream][first : first + SEQUENCE]
            assert sample.experience.reward[row].tolist() == expected
    assert len(other) == min(17, len(given[0])) + min(17, len(given[1]))
    assert {0, 1} == {int(stream) for sample in samples for stream in sample.rows.stream}
    assert_equal(uneven(plain, 0, 60)[0], samples)
    assert_equal(contents(other), contents(plain))


@pytest.mark.parametrize("home", ["memory", "device"])
@pytest.mark.parametrize("length", [17, 11])
def test_uneven_streams_are_restored(tmp_path, home, length):
    original, resumed = make("memory", tmp_path), make(home, tmp_path, length=length)
    uneven(original, 0, 24)  # the second stream is not full yet
    assert resumed.restore(original.state(), contents(original).__getitem__) == (length == 17)
    for stream, (oldest, count) in enumerate(zip(resumed._streams.oldest, resumed._streams.count, strict=True)):
        assert oldest == max(original._streams.oldest[stream], count - length)
        held = int(count - oldest)
        where = np.array([stream]), np.array([oldest]), held, held
        assert_equal(resumed._streams.read(*where), original._streams.read(*where))
    if length == 17:
        assert_equal(uneven(resumed, 1, 25)[0], uneven(original, 1, 25)[0])


def test_a_state_of_streams_that_advanced_together_may_have_one_number_for_all(tmp_path):
    original, resumed = make("memory", tmp_path), make("memory", tmp_path)
    live(original, 0, 40)
    state = original.state()
    assert state["count"] == [40, 40]
    state |= {"count": 40, "oldest": state["oldest"][0]}
    assert resumed.restore(state, contents(original).__getitem__)
    assert_equal(live(resumed, 1, 25), live(original, 1, 25))


def test_the_sequence_with_the_most_records_after_it_comes_first(tmp_path):
    replay = make("memory", tmp_path)
    rng = np.random.default_rng(0)
    for step in range(2 * SEQUENCE):
        replay.add(random_record(rng), np.array([step % 2 == 0, True]))
    stream, first = replay.sample(3).rows
    # The second holds twice as many records: two sequences of it are as many steps old as the one of the first.
    assert list(zip(stream.tolist(), first.tolist(), strict=True)) == [(1, 0), (1, 4), (0, 0)]
