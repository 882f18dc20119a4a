"""Replay and checkpoints together: what is saved piece by piece is what was held."""

import jax
import numpy as np
import pytest

from reverie.experience import Experience
from reverie.replay import Replay
from reverie.storage import Part, Store
from reverie.training import folder

TEMPLATE = Experience(
    observation={"vector": np.zeros(3, np.float32)},
    action={"action": np.zeros((), np.int32)},
    reward=np.zeros((), np.float32),
    is_first=np.zeros((), bool),
    is_last=np.zeros((), bool),
    is_terminal=np.zeros((), bool),
    deter=np.zeros(4, np.float32),
    stoch=np.zeros(2, np.uint8),
)


def make() -> Replay:
    return Replay(TEMPLATE, capacity=2 * 23, num_envs=2, sequence=4, segment=5, seed=1)


def use(replay: Replay, steps: range) -> None:
    """Collect, sample and write back, with numbers that tell everything apart."""
    for step in steps:
        rng = np.random.default_rng(step)
        record = jax.tree.map(lambda x: rng.integers(0, 99, (2, *x.shape)).astype(x.dtype), TEMPLATE)  # noqa: B023
        replay.add(record._replace(is_first=np.full(2, step % 7 == 0), is_last=np.full(2, step % 7 == 6)))
        if replay.ready():
            rows = replay.sample(3).rows
            deter, stoch = rng.normal(size=(3, 3, 4)), rng.integers(0, 9, (3, 3, 2))
            replay.write_latents(rows, deter.astype(np.float32), stoch.astype(np.uint8))


def save(store: Store, count: int, replay: Replay) -> None:
    parts = {name: Part(*part) for name, part in replay.parts().items()}
    assert store.save(count, {"replay": replay.state()}, parts, wait=True)
    assert store.problem() is None


@pytest.mark.parametrize("interval", [1, 4, 11])
def test_many_saves_and_restarts_around_the_ring_lose_nothing(tmp_path, interval):
    """Against a replay that is never saved; the ring of 23 is filled almost three times."""
    untouched, replay = make(), make()
    store = Store(tmp_path)
    for start in range(0, 66, interval):
        steps = range(start, start + interval)
        use(untouched, steps)
        use(replay, steps)
        save(store, start + 1, replay)
        if start % 3 == 0:  # the process ends and begins again
            store.close()
            store, replay = Store(tmp_path), make()
            checkpoint = store.load(store.counts[0])
            assert replay.restore(checkpoint.meta["replay"], checkpoint.read)
            store.remember(checkpoint, {name: version for name, (version, _) in replay.parts().items()})
        assert replay.state() == untouched.state()
        if untouched.ready():
            jax.tree.map(np.testing.assert_array_equal, replay.sample(8), untouched.sample(8))
    store.close()


def test_a_package_that_runs_from_its_sources_has_no_version():
    assert folder._version("numpy") == np.__version__
    assert folder._version("no-such-package-anywhere") is None
