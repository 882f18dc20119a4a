"""Tuned forms compute the same as the textbook's: the same keys give the same numbers and gradients."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.config import BehaviourConfig, Config, ModelConfig
from reverie.distributions import TwoHot
from reverie.learner import TEXTBOOK, Learner
from reverie.nn import BlockLinear
from reverie.spaces import Continuous, Discrete
from reverie.tuned import best_forms, cpu, gpu
from reverie.tuned.cpu import layers
from reverie.tuned.cpu.distributions import TwoHotColumns
from reverie.world_model import Latent

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

    def judged(look_ahead, networks):
        action, outlook = look_ahead(networks, networks.critic, latent, key, 5)
        columns = isinstance(outlook.value, TwoHotColumns)
        logits = jnp.swapaxes(outlook.value.logits, -1, -2) if columns else outlook.value.logits
        score = outlook.policy.log_prob(jax.lax.stop_gradient(action))
        return (score + jax.nn.log_softmax(logits)[..., 7]).mean(), (action, *outlook[2:], logits, score)

    actual, expected = (
        eqx.filter_jit(eqx.filter_value_and_grad(partial(judged, forms.look_ahead), has_aux=True))(networks)
        for forms in (cpu.FORMS, TEXTBOOK)
    )
    assert expected[0][1][0]["move"].shape == (6, 6)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5 * max(1.0, float(jnp.abs(y).max())))


@pytest.mark.parametrize("forms", [cpu.FORMS, gpu.FORMS], ids=["cpu", "gpu"])
@pytest.mark.parametrize(
    "key", [pytest.param(None, marks=pytest.mark.slow), jax.random.key(3)], ids=["modes", "samples"]
)
def test_filtered_sequences_agree(forms, key):
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
    actual, expected = of(forms.observe), of(TEXTBOOK.observe)
    assert expected[0][1][0].shape == (batch, steps, 32)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-4, atol=2e-5 * max(1.0, float(jnp.abs(y).max())))


def test_block_linear():
    layer = BlockLinear(12, 8, 4, key=jax.random.key(0), shared=5)
    layer = eqx.tree_at(lambda layer: layer.bias, layer, jnp.arange(8.0))
    x, shared = jax.random.normal(jax.random.key(1), (7, 12)), jax.random.normal(jax.random.key(2), (7, 5))
    np.testing.assert_allclose(layers.block_linear(layer, x.T, shared.T).T, layer(x, shared), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2])
def test_two_hot_in_columns(count):
    """Prediction, loss and gradient, for targets between bins, beyond the ends and on a bin."""
    logits = 3 * jax.random.normal(jax.random.key(0), (2, 4, 255))
    targets = [jnp.asarray([[0.3, 1e12, -1e12, 0.0], [-7.0, 5.5, 1e4, 1.0]]), jnp.full((2, 4), 2.5)][:count]
    rows, columns = TwoHot(logits), TwoHotColumns(jnp.swapaxes(logits, 1, 2))
    np.testing.assert_allclose(columns.prediction(), rows.prediction(), rtol=1e-5)
    weight = jnp.arange(8.0).reshape(2, 4)
    actual, expected = (jax.value_and_grad(lambda x: (weight * x.loss(*targets)).sum())(x) for x in (columns, rows))
    np.testing.assert_allclose(actual[0], expected[0], rtol=1e-5)
    np.testing.assert_allclose(jnp.swapaxes(actual[1].logits, 1, 2), expected[1].logits, rtol=1e-4, atol=1e-5)
    assert TwoHotColumns(jnp.zeros((255, 3))).prediction().tolist() == [0.0, 0.0, 0.0]


def test_bfloat16_filters_in_the_textbooks_form():
    assert best_forms(jnp.float32) == cpu.FORMS
    assert best_forms(jnp.bfloat16) == (TEXTBOOK.observe, cpu.FORMS.look_ahead)
