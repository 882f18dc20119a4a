"""What an update costs around its own program, in counts: programs dispatched, arrays copied to the device and back.

Where a change makes a count smaller, lower it here; where it has a reason to make one larger, say so in the experiment
log.
"""

from collections import Counter
from dataclasses import replace

import jax
import numpy as np
import pytest
from jax._src import array, pjit
from jax._src.interpreters import pxla

from benchmarks.overhead import no_compute
from reverie.config import Config, ModelConfig
from reverie.training import Trainer

# Other widths than elsewhere, so that no program has been compiled, and counts as dispatched without Python, before.
CONFIG = replace(
    Config(),
    model=ModelConfig(deter=24, hidden=12, classes=4, depth=3, units=12, groups=3, blocks=3, compute_dtype="float32"),
    replay=replace(Config().replay, capacity=1000, batch=2, length=4),
    env=replace(Config().env, envs=2, mode="serial"),
    run=replace(Config().run, steps=120, train_ratio=8.0, log_every=1e9, dream_every=0, tensorboard=False),
)


@pytest.fixture
def counts(monkeypatch) -> Counter[str]:
    """Counts the programs that JAX dispatches and the arrays that it copies; a program never skips Python meanwhile."""
    counts = Counter[str]()
    execute, fetch, put = pxla.ExecuteReplicated.__call__, array.ArrayImpl._value.fget, jax.device_put

    def executed(program, *arguments):
        counts["dispatched"] += 1
        counts["to device"] += sum(isinstance(x, np.ndarray) for x in arguments)
        return execute(program, *arguments)

    def fetched(x):
        counts["to host"] += x._npy_value is None
        return fetch(x)

    def copied(tree, *arguments, **keywords):
        counts["to device"] += sum(isinstance(x, np.ndarray) for x in jax.tree.leaves(tree))
        return put(tree, *arguments, **keywords)

    monkeypatch.setattr(pjit, "_get_fastpath_data", lambda *_, **__: None)
    monkeypatch.setattr(pxla.ExecuteReplicated, "__call__", executed)
    monkeypatch.setattr(array.ArrayImpl, "_value", property(fetched))
    monkeypatch.setattr(jax, "device_put", copied)
    return counts


class Steps:
    """Counts the steps of the loop."""

    count = 0

    def on_step(self, run):
        self.count += 1


def test_dispatches_and_copies(counts):
    """One program for an update and one for acting; metrics come in one array, and no array is copied twice."""
    steps = Steps()
    with no_compute():
        trainer = Trainer("CartPole-v1", CONFIG, quiet=True)
        trainer.run(callbacks=[steps])
    trainer.close()
    assert trainer.updates > 100
    # Making and starting the loop takes a few more.
    assert counts["dispatched"] - trainer.updates - steps.count <= 25
    batch, shown = 8, 3  # observation, action, reward, three flags, latents; observation, `is_first` and `ready`
    assert counts["to device"] - batch * trainer.updates - shown * steps.count <= 25
    results, acted = 4, 3  # metrics, `finite` and latents; action and latents
    assert counts["to host"] - results * trainer.updates - acted * steps.count <= 25
