"""The whole update, on small networks."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.config import BehaviourConfig, Config, LossConfig, ModelConfig, OptimizerConfig
from reverie.experience import Experience
from reverie.learner import Learner, Networks
from reverie.presets import SIZES
from reverie.spaces import Continuous, Discrete, Image

compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": "0"})

OBSERVATIONS, ACTIONS = {"vector": Continuous((3,))}, {"action": Discrete((), 3)}
MODEL = ModelConfig(deter=8, hidden=4, classes=3, depth=2, units=4, groups=2, blocks=2, compute_dtype="float32")
CONFIG = Config(
    model=MODEL,
    behaviour=BehaviourConfig(imagination_length=3),
    optimizer=OptimizerConfig(learning_rate=1e-2, warmup=2),
)
WORLD_MODEL_TERMS = ("observation", "rew", "con", "dyn", "rep", "repval")
B, T = 2, 4


@pytest.fixture(scope="module")
def learner() -> Learner:
    return Learner(OBSERVATIONS, ACTIONS, CONFIG)


@pytest.fixture(scope="module")
def batch() -> Experience:
    rng = np.random.default_rng(0)
    flags = jnp.zeros((B, T + 1), bool)
    return Experience(
        observation={"vector": jnp.asarray(rng.normal(size=(B, T + 1, 3)), jnp.float32)},
        action={"action": jnp.asarray(rng.integers(0, 3, (B, T + 1)), jnp.int32)},
        reward=jnp.asarray(rng.normal(size=(B, T + 1)), jnp.float32),
        is_first=flags.at[0, 3].set(True),
        is_last=flags.at[0, 2].set(True),
        is_terminal=flags.at[0, 2].set(True),
        deter=jnp.asarray(rng.uniform(-1, 1, (B, T + 1, 8)), jnp.float32),
        stoch=jnp.asarray(rng.integers(0, 3, (B, T + 1, 2)), jnp.int32),
    )


@pytest.fixture(scope="module")
def update(learner):
    return compiled(learner.update)


def nudged(tree):
    """Zero-initialised heads give zero gradients; a trained agent has no zeros."""
    return jax.tree.map(lambda leaf: leaf + 0.05 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), tree)


def leaves(tree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def equal(one, other) -> bool:
    return all(map(np.array_equal, leaves(one), leaves(other), strict=True))


@pytest.mark.parametrize(
    ("observations", "actions", "count"),
    [
        ({"proprio": Continuous((24,))}, {"action": Continuous((6,))}, 640_867),
        ({"image": Image((64, 64, 3))}, {"action": Discrete((), 17)}, 687_875),
    ],
)
def test_smallest_size_has_the_published_number_of_parameters(observations, actions, count):
    networks = jax.eval_shape(
        lambda key: Networks(observations, actions, SIZES["size1m"], key=key), jax.random.key(0)
    )
    assert networks.parameter_count == count


def test_same_seed_gives_the_same_losses_to_the_last_bit(learner, batch, update):
    def trace(seed):
        state, losses = learner.init(jax.random.key(seed)), []
        for i in range(4):
            state, output = update(state, batch, jax.random.fold_in(jax.random.key(seed), i))
            losses.append(float(output.metrics["opt/loss"]))
        return losses, state

    (losses, state), (again, same_state), (others, _) = trace(0), trace(0), trace(1)
    assert losses == again
    assert equal(state, same_state)
    assert losses != others
    assert np.all(np.isfinite(losses))


def test_the_first_update_changes_no_weight_and_the_second_does(learner, batch, update):
    state = learner.init(jax.random.key(0))
    first, output = update(state, batch, jax.random.key(1))
    second, _ = update(first, batch, jax.random.key(2))
    assert equal(first.networks, state.networks)
    assert output.metrics["opt/update_rms"] == 0
    assert not equal(second.networks, first.networks)
    assert (int(first.updates), int(second.updates)) == (1, 2)


def test_slow_critic_starts_as_a_copy_and_follows_after_the_update(learner, batch, update):
    state = learner.init(jax.random.key(0))
    assert equal(state.slow_critic, state.networks.critic)
    before, _ = update(state, batch, jax.random.key(1))
    after, _ = update(before, batch, jax.random.key(2))
    expected = jax.tree.map(lambda slow, new: 0.98 * slow + 0.02 * new, before.slow_critic, after.networks.critic)
    for ours, theirs in zip(leaves(after.slow_critic), leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


def test_an_update_is_a_gradient_and_its_application(learner, batch, update):
    state, key = learner.init(jax.random.key(0)), jax.random.key(1)
    together, _ = update(state, batch, key)
    apart, _ = compiled(learner.apply)(state, *compiled(learner.gradient)(state, batch, key))
    for ours, theirs in zip(leaves(apart), leaves(together), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-6)


def test_latents_for_replay_are_those_of_the_trained_steps(learner, batch, update):
    _, output = update(learner.init(jax.random.key(0)), batch, jax.random.key(1))
    assert output.latents.deter.shape == (B, T, 8)
    assert output.latents.stoch.shape == (B, T, 2)
    assert 0 <= output.latents.stoch.min() <= output.latents.stoch.max() < 3


def test_no_gradient_of_imagination_reaches_the_world_model(batch):
    none = LossConfig(**dict.fromkeys(WORLD_MODEL_TERMS, 0.0))
    learner = Learner(OBSERVATIONS, ACTIONS, replace(CONFIG, loss=none))
    state = learner.init(jax.random.key(0))
    state = state._replace(networks=nudged(state.networks))
    gradient, _, _ = compiled(learner.gradient)(state, batch, jax.random.key(1))
    assert all(not np.any(leaf) for leaf in leaves(gradient.world_model))
    assert all(np.any(leaf) for leaf in leaves(gradient.actor))
    assert all(np.any(leaf) for leaf in leaves(gradient.critic))


def test_replayed_values_train_critic_and_world_model_but_no_actor(batch):
    others = {"observation", "rew", "con", "dyn", "rep", "policy", "value"}
    learner = Learner(OBSERVATIONS, ACTIONS, replace(CONFIG, loss=LossConfig(**dict.fromkeys(others, 0.0))))
    state = learner.init(jax.random.key(0))
    state = state._replace(networks=nudged(state.networks))
    gradient, _, _ = compiled(learner.gradient)(state, batch, jax.random.key(1))
    assert any(np.any(leaf) for leaf in leaves(gradient.world_model.rssm))
    assert any(np.any(leaf) for leaf in leaves(gradient.critic))
    assert all(not np.any(leaf) for leaf in leaves(gradient.actor))
    assert all(not np.any(leaf) for leaf in leaves(gradient.world_model.decoder))


def test_total_is_the_weighted_sum_of_the_terms_means(learner, batch):
    state = learner.init(jax.random.key(0))
    _, total, aux = compiled(learner.gradient)(state, batch, jax.random.key(1))
    scales = {"vector": 1, "rew": 1, "con": 1, "dyn": 1, "rep": 0.1, "policy": 1, "value": 1, "repval": 0.3}
    assert set(aux.losses) == set(scales)
    assert {name: loss.shape for name, loss in aux.losses.items()} == dict.fromkeys(scales, (B, T)) | {
        "repval": (B, T - 1)
    }
    np.testing.assert_allclose(total, sum(scales[name] * x.mean() for name, x in aux.losses.items()), rtol=1e-5)
