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
    counts, seen = Counter[str](), dict[int, jax.Array]()
    execute, fetch, put = pxla.ExecuteReplicated.__call__, array.ArrayImpl._value.fget, jax.device_put

    def executed(program, *arguments):
        counts["dispatched"] += 1
        counts["to device"] += sum(isinstance(x, np.ndarray) for x in arguments)
        return execute(program, *arguments)

    def fetched(x):
        counts["to host"] += id(x) not in seen  # a copy is kept
        seen[id(x)] = x
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


# Of an update: a batch has 8 arrays (observation, action, reward, three flags, latents). Its metrics come back as one
# array, and whether it was applied as another; of its latents one is counted, as NumPy reads class indices in place. To
# a buffer on the device only the places of a batch and of its latents are sent, 2 arrays each.
# Of acting: observation, `is_first` and which environments are ready; action and latents. A record has 8 arrays.
COSTS = {
    "memory": {"dispatched": (1, 1), "to device": (8, 3), "to host": (3, 3)},
    "device": {"dispatched": (3, 2), "to device": (4, 3 + 8 + 1), "to host": (2, 3)},
}


@pytest.mark.parametrize("home", COSTS)
def test_dispatches_and_copies(counts, home):
    """Per update and per step of the loop; starting it and new episodes take a few more."""
    steps, config = Steps(), replace(CONFIG, replay=replace(CONFIG.replay, home=home))
    with no_compute():
        trainer = Trainer("CartPole-v1", config, quiet=True)
        trainer.run(callbacks=[steps])
    trainer.close()
    assert trainer.updates > 100
    for what, (update, step) in COSTS[home].items():
        assert counts[what] - update * trainer.updates - step * steps.count < 50, what
