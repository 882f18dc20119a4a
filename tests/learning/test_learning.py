"""It learns: small agents on small tasks of our own, in minutes. Run by hand with -m slow."""

from dataclasses import replace

import pytest

import reverie
from reverie.presets import DEMO


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_small_agent_learns_to_catch(dtype):
    """A random player gets about -0.75, a perfect one 1."""
    model = replace(DEMO.model, compute_dtype=dtype)
    config = replace(DEMO, model=model, run=replace(DEMO.run, log_every=15))
    agent = reverie.train("reverie/CatchVector-v0", config, steps=25_000)
    result = reverie.evaluate(agent, "reverie/CatchVector-v0", episodes=100)
    print(dtype, result)
    assert result.mean >= 0.8
