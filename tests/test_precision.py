"""bfloat16 products give the losses and gradients of float32, within what eight bits of mantissa allow."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.config import Config, ModelConfig
from reverie.experience import Experience
from reverie.learner import Learner
from reverie.spaces import Continuous, Discrete, Image
from reverie.tuned import best_forms

pytestmark = pytest.mark.slow  # compiles the whole loss twice
B, T = 3, 5
MODEL = ModelConfig(deter=64, hidden=32, classes=4, depth=2, units=32, groups=8, blocks=4)
OBSERVATIONS = {"image": Image((48, 48, 3)), "vector": Continuous((3,))}
ACTIONS = {"force": Continuous((2,)), "move": Discrete((), 4)}


def losses_and_gradient(dtype: str):
    config = Config(model=replace(MODEL, compute_dtype=dtype))
    learner = Learner(OBSERVATIONS, ACTIONS, config, best_forms(jnp.dtype(dtype)))
    rng, shape = np.random.default_rng(0), (B, T + 1)
    flags = jnp.zeros(shape, bool)
    batch = Experience(
        observation={
            "image": jnp.asarray(rng.integers(0, 256, (*shape, 48, 48, 3)), jnp.uint8),
            "vector": jnp.asarray(rng.normal(size=(*shape, 3)), jnp.float32),
        },
        action={
            "force": jnp.asarray(rng.normal(size=(*shape, 2)), jnp.float32),
            "move": jnp.asarray(rng.integers(0, 4, shape), jnp.int32),
        },
        reward=jnp.asarray(rng.normal(size=shape), jnp.float32),
        is_first=flags.at[:, 3].set(True),
        is_last=flags.at[:, 2].set(True),
        is_terminal=flags.at[0, 2].set(True),
        deter=jnp.asarray(rng.uniform(-1, 1, (*shape, 64)), jnp.float32),
        stoch=jnp.asarray(rng.integers(0, 4, (*shape, 8)), jnp.int32),
    )
    state = jax.jit(learner.init)(jax.random.key(0))
    nudge = lambda x: x + 0.02 * jax.random.normal(jax.random.key(x.size), x.shape)  # noqa: E731, heads start at zero
    state = state._replace(networks=jax.tree.map(nudge, state.networks))
    # One model state and one key: what differs is rounding, and the few samples that fall elsewhere because of it.
    gradient, _, aux = jax.jit(partial(learner.gradient, key=jax.random.key(1)))(state, batch)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))
    return {name: float(loss.mean()) for name, loss in aux.losses.items()}, gradient


@pytest.fixture(scope="module")
def both():
    return losses_and_gradient("float32"), losses_and_gradient("bfloat16")


def test_losses_agree_to_three_percent(both):
    (exact, _), (rounded, _) = both
    for name, loss in exact.items():
        assert rounded[name] == pytest.approx(loss, rel=0.03, abs=0.03), name


def test_gradients_point_the_same_way(both):
    (_, exact), (_, rounded) = both
    for name in ("world_model", "actor", "critic"):
        a, b = (jnp.concatenate([x.ravel() for x in jax.tree.leaves(getattr(g, name))]) for g in (exact, rounded))
        cosine = jnp.vdot(a, b) / (jnp.linalg.norm(a) * jnp.linalg.norm(b))
        assert cosine > 0.97, name
        assert float(jnp.linalg.norm(b) / jnp.linalg.norm(a)) == pytest.approx(1, abs=0.1), name
