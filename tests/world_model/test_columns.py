"""Columns and rows are two layouts of one function: the same keys give the same numbers."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.config import BehaviourConfig, Config, ModelConfig
from reverie.learner import Learner
from reverie.learner.imagined import look_ahead
from reverie.nn import BlockLinear, columns, textbook
from reverie.spaces import Continuous, Discrete
from reverie.world_model import RSSM, Latent
from reverie.world_model import columns as model_columns

ACTIONS = {"force": Continuous((2,)), "move": Discrete((), 4)}


def small() -> Learner:
    model = ModelConfig(deter=32, hidden=12, groups=4, classes=6, blocks=4, units=16, depth=4, compute_dtype="float32")
    behaviour = BehaviourConfig(imagination_length=5)
    return Learner({"vector": Continuous((3,))}, ACTIONS, Config(model=model, behaviour=behaviour))


def shaken(tree, key):
    """Every parameter moved: zero heads and unit scales would hide mistakes."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure, [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    )


@pytest.mark.parametrize(
    "key", [pytest.param(None, marks=pytest.mark.slow), jax.random.key(3)], ids=["modes", "samples"]
)
def test_imagined_trajectories_agree(key):
    learner = small()
    networks = shaken(learner.init(jax.random.key(0)).networks, jax.random.key(1))
    stoch = jax.nn.one_hot(jax.random.randint(jax.random.key(2), (6, 4), 0, 6), 6)
    latent = Latent(jnp.tanh(jax.random.normal(jax.random.key(4), (6, 32))), stoch)

    def judged(networks):
        action, outlook = look_ahead(networks, networks.critic, latent, key, horizon=5)
        logits = jnp.moveaxis(outlook.value.logits, outlook.value.axis, -1)
        score = outlook.policy.log_prob(jax.lax.stop_gradient(action))
        return (score + jax.nn.log_softmax(logits)[..., 7]).mean(), (action, *outlook[2:], logits, score)

    actual = eqx.filter_jit(eqx.filter_value_and_grad(judged, has_aux=True))(networks)
    with textbook():
        expected = eqx.filter_jit(eqx.filter_value_and_grad(judged, has_aux=True))(networks)
    assert expected[0][1][0]["move"].shape == (6, 6)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5 * max(1.0, float(jnp.abs(y).max())))


@pytest.mark.parametrize(
    "key", [pytest.param(None, marks=pytest.mark.slow), jax.random.key(3)], ids=["modes", "samples"]
)
def test_filtered_sequences_agree(key):
    """Values and all gradients, with an episode that begins in the middle of a sequence."""
    rssm = shaken(small().init(jax.random.key(0)).networks, jax.random.key(1)).world_model.rssm
    batch, steps = 3, 7
    keys = jax.random.split(jax.random.key(5), 8)
    latent = Latent(
        jnp.tanh(jax.random.normal(keys[0], (batch, 32))),
        jax.nn.one_hot(jax.random.randint(keys[1], (batch, 4), 0, 6), 6),
    )
    embedding = jax.random.normal(keys[2], (batch, steps, 16))
    action = jax.random.normal(keys[3], (batch, steps, 6))
    is_first = jnp.zeros((batch, steps), bool).at[1, 3].set(True).at[2, 0].set(True)

    def judged(observe, rssm, latent, embedding, action):
        states, logits = observe(rssm, latent, embedding, action, is_first, key)
        outputs = states.deter, states.stoch, logits
        weights = [jax.random.normal(k, x.shape) for k, x in zip(keys[5:], outputs, strict=True)]
        return sum((w * x).sum() for w, x in zip(weights, outputs, strict=True)), outputs

    of = lambda f: eqx.filter_jit(jax.value_and_grad(partial(judged, f), (0, 1, 2, 3), has_aux=True))(  # noqa: E731
        rssm, latent, embedding, action
    )
    actual, expected = of(model_columns.observe), of(RSSM.observe)
    assert expected[0][1][0].shape == (batch, steps, 32)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5 * max(1.0, float(jnp.abs(y).max())))


def test_block_linear():
    layer = BlockLinear(12, 8, 4, key=jax.random.key(0), shared=5)
    layer = eqx.tree_at(lambda layer: layer.bias, layer, jnp.arange(8.0))
    x, shared = jax.random.normal(jax.random.key(1), (7, 12)), jax.random.normal(jax.random.key(2), (7, 5))
    np.testing.assert_allclose(columns.block_linear(layer, x.T, shared.T).T, layer(x, shared), rtol=1e-5, atol=1e-6)
