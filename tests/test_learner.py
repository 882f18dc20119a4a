"""The whole update, on small networks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.config import BehaviourConfig, Config, ModelConfig, OptimizerConfig
from reverie.experience import Experience
from reverie.learner import Learner, LearnerState, Networks
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
SCALES = {"observation/vector": 1, "rew": 1, "con": 1, "dyn": 1, "rep": 0.1, "policy": 1, "value": 1, "repval": 0.3}
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
def state(learner) -> LearnerState:
    return compiled(learner.init)(jax.random.key(0))


@pytest.fixture(scope="module")
def update(learner):
    return compiled(learner.update)


@pytest.fixture(scope="module")
def gradient_of(learner, state, batch):
    """The gradient of a sum of some terms' means, for networks without the zeros that heads start with."""

    def means(networks):
        _, aux = learner.loss(networks, state, batch, jax.random.key(1))
        return {name: loss.mean() for name, loss in aux.losses.items()}

    def nudged(leaf):
        return leaf + 0.05 * jax.random.normal(jax.random.key(leaf.size), leaf.shape)

    @compiled
    def pull(networks, weights):
        return jax.vjp(means, jax.tree.map(nudged, networks))[1](weights)[0]

    return lambda *terms: pull(state.networks, {name: jnp.float32(name in terms) for name in SCALES})


def leaves(tree) -> list[np.ndarray]:
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def all_zero(tree) -> bool:
    return not any(np.any(leaf) for leaf in leaves(tree))


def none_zero(tree) -> bool:
    return all(np.any(leaf) for leaf in leaves(tree))


def equal(one, other) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(leaves(one), leaves(other), strict=True))


@pytest.mark.parametrize(
    ("observations", "actions", "count"),
    [
        ({"proprio": Continuous((24,))}, {"action": Continuous((6,))}, 640_867),
        ({"image": Image((64, 64, 3))}, {"action": Discrete((), 17)}, 687_875),
    ],
)
def test_smallest_size_has_the_published_number_of_parameters(observations, actions, count):
    networks = jax.eval_shape(lambda key: Networks(observations, actions, SIZES["size1m"], key=key), jax.random.key(0))
    assert networks.parameter_count == count


def test_same_seed_gives_the_same_losses_to_the_last_bit(learner, batch, update):
    def trace(seed):
        state, losses = compiled(learner.init)(jax.random.key(seed)), []
        for i in range(4):
            state, output = update(state, batch, jax.random.fold_in(jax.random.key(seed), i))
            losses.append(float(output.metrics["opt/loss"]))
        return losses, state

    (losses, state), (again, same_state), (others, _) = trace(0), trace(0), trace(1)
    assert losses == again
    assert equal(state, same_state)
    assert losses != others
    assert np.all(np.isfinite(losses))


def test_the_first_update_changes_no_weight_and_the_second_does(state, batch, update):
    first, output = update(state, batch, jax.random.key(1))
    second, _ = update(first, batch, jax.random.key(2))
    assert equal(first.networks, state.networks)
    assert output.metrics["opt/update_rms"] == 0
    assert not equal(second.networks, first.networks)
    assert (int(first.updates), int(second.updates)) == (1, 2)


def test_slow_critic_starts_as_a_copy_and_follows_after_the_update(state, batch, update):
    assert equal(state.slow_critic, state.networks.critic)
    before, _ = update(state, batch, jax.random.key(1))
    after, _ = update(before, batch, jax.random.key(2))
    expected = jax.tree.map(lambda slow, new: 0.98 * slow + 0.02 * new, before.slow_critic, after.networks.critic)
    for ours, theirs in zip(leaves(after.slow_critic), leaves(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-8)


def test_latents_for_replay_are_those_of_the_trained_steps(state, batch, update):
    _, output = update(state, batch, jax.random.key(1))
    assert output.latents.deter.shape == (B, T, 8)
    assert output.latents.stoch.shape == (B, T, 2)
    assert 0 <= output.latents.stoch.min() <= output.latents.stoch.max() < 3


def test_total_is_the_weighted_sum_of_the_terms_means(state, batch, update):
    _, output = update(state, batch, jax.random.key(1))
    terms = {name.removeprefix("loss/"): x for name, x in output.metrics.items() if name.startswith("loss/")}
    assert set(terms) == set(SCALES)
    total = sum(SCALES[name] * float(mean) for name, mean in terms.items())
    np.testing.assert_allclose(output.metrics["opt/loss"], total, rtol=1e-5)


def test_no_gradient_of_imagination_reaches_the_world_model(gradient_of):
    gradient = gradient_of("policy", "value")
    assert all_zero(gradient.world_model)
    assert none_zero(gradient.actor)
    assert none_zero(gradient.critic)


def test_actor_and_critic_learn_from_their_own_terms_only(gradient_of):
    assert all_zero(gradient_of("policy").critic)
    assert all_zero(gradient_of("value").actor)


def test_the_world_models_terms_train_no_behaviour(gradient_of):
    gradient = gradient_of("observation/vector", "rew", "con", "dyn", "rep")
    assert all_zero((gradient.actor, gradient.critic))
    assert none_zero((gradient.world_model.encoder, gradient.world_model.decoder, gradient.world_model.reward_head))


def test_replayed_values_train_critic_and_world_model_but_no_actor(gradient_of):
    gradient = gradient_of("repval")
    assert none_zero((gradient.critic, gradient.world_model.encoder))
    assert all_zero((gradient.actor, gradient.world_model.decoder))


def test_observations_named_like_loss_terms_have_losses_and_scales_of_their_own():
    names = [name for name in SCALES if "/" not in name]
    learner = Learner({name: Continuous((2,)) for name in names}, ACTIONS, CONFIG)
    flags = jnp.zeros((B, T + 1), bool)
    batch = Experience(
        observation={name: jnp.zeros((B, T + 1, 2)) for name in names},
        action={"action": jnp.zeros((B, T + 1), jnp.int32)},
        reward=jnp.zeros((B, T + 1)),
        is_first=flags,
        is_last=flags,
        is_terminal=flags,
        deter=jnp.zeros((B, T + 1, 8)),
        stoch=jnp.zeros((B, T + 1, 2), jnp.int32),
    )
    state = jax.eval_shape(learner.init, jax.random.key(0))
    _, aux = jax.eval_shape(lambda state: learner.loss(state.networks, state, batch, None), state)
    assert set(aux.losses) == {*names, *(f"observation/{name}" for name in names)}
    assert {f"loss/{name}" for name in aux.losses} <= set(aux.metrics)
