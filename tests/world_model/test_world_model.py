"""What the world model promises, on small networks."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.distributions import Categorical
from reverie.spaces import Continuous, Discrete, Image
from reverie.world_model import RSSM, Latent, WorldModel, encode_actions
from reverie.world_model.inputs import encode_images, encode_vectors
from reverie.world_model.model import clipped_divergence

compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": "0"})
B, T = 2, 6


def normal(*shape: int, seed: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.fixture(scope="module")
def model() -> WorldModel:
    sizes = {"deter": 8, "hidden": 4, "groups": 2, "classes": 3, "blocks": 2, "units": 4, "depth": 2, "unimix": 0.01}
    observations, actions = {"a": Continuous((3,)), "b": Discrete((), 4)}, {"push": Continuous((2,))}
    return compiled(lambda key: WorldModel(observations, observations, actions, **sizes, key=key))(jax.random.key(0))


@pytest.fixture(scope="module")
def observe(model):
    filtered = compiled(lambda model, *arguments: model.observe(*arguments))

    def posterior(seed, is_first):
        """Posteriors of sequences that agree from the step 3 on and differ, with the seed, before."""
        same = lambda *shape: normal(B, T - 3, *shape, seed=0)  # noqa: E731
        before = lambda *shape: normal(B, 3, *shape, seed=seed)  # noqa: E731
        observation = {
            "a": jnp.concatenate([before(3), same(3)], 1),
            "b": jnp.concatenate([(before() > 0), (same() > 0)], 1).astype(jnp.int32),
        }
        action = {"push": jnp.concatenate([before(2), normal(B, 1, 2, seed=seed + 1), same(2)[:, 1:]], 1)}
        carry = Latent(normal(B, 8, seed=seed), jax.nn.one_hot(jnp.full((B, 2), seed % 3), 3))
        return filtered(model, carry, observation, action, is_first, jax.random.key(0))

    return posterior


def test_an_episodes_start_isolates_it_from_what_came_before(observe):
    is_first = jnp.zeros((B, T), bool).at[:, 3].set(True)
    one, other = observe(1, is_first), observe(2, is_first)
    assert not np.array_equal(one.deter[:, 2], other.deter[:, 2])
    np.testing.assert_array_equal(one.deter[:, 3:], other.deter[:, 3:])
    np.testing.assert_array_equal(one.stoch[:, 3:], other.stoch[:, 3:])


def test_within_an_episode_the_past_is_remembered(observe):
    running = jnp.zeros((B, T), bool)
    one, other = observe(1, running), observe(2, running)
    assert not np.allclose(one.deter[:, 3:], other.deter[:, 3:], atol=1e-3)


def test_a_reset_concerns_its_own_sequence_only(observe):
    is_first = jnp.zeros((B, T), bool).at[0, 3].set(True)
    one, other = observe(1, is_first), observe(2, is_first)
    np.testing.assert_array_equal(one.deter[0, 3:], other.deter[0, 3:])
    assert not np.allclose(one.deter[1, 3:], other.deter[1, 3:], atol=1e-3)


def step(rssm: RSSM, latent: Latent, action: jax.Array, embedding: jax.Array) -> tuple[Latent, jax.Array]:
    deter = rssm.next_deter(latent, action)
    posterior = rssm.posterior(deter, embedding)
    return Latent(deter, posterior.straight_through(posterior.mode())), posterior.logits


def test_a_sequence_is_its_steps_one_after_the_other(model):
    rssm, one = model.rssm, compiled(step)
    embedding, action = normal(B, T, model.encoder.size, seed=1), normal(B, T, 2, seed=2)
    states, logits = compiled(lambda rssm, *arguments: rssm.observe(*arguments, None))(
        rssm, rssm.initial((B,)), embedding, action, jnp.zeros((B, T), bool)
    )
    latent = rssm.initial((B,))
    for t in range(T):
        latent, expected = one(rssm, latent, action[:, t], embedding[:, t])
        np.testing.assert_allclose(states.deter[:, t], latent.deter, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(logits[:, t], expected, rtol=1e-4, atol=1e-5)


def test_the_recurrence_keeps_the_state_within_one(observe):
    states = observe(1, jnp.zeros((B, T), bool).at[:, 0].set(True))
    assert np.abs(states.deter).max() < 1
    np.testing.assert_allclose(states.stoch.sum(-1), np.ones((B, T, 2)), rtol=1e-6)
    assert {0, 1} == set(np.unique(np.round(states.stoch, 6)))


def test_the_first_reward_is_exactly_zero(model):
    latent = model.initial((B,))
    np.testing.assert_array_equal(model.reward(latent).prediction(), np.zeros(B))


@pytest.mark.parametrize(("distance", "clipped"), [(0.1, True), (5.0, False)])
def test_below_one_nat_a_divergence_has_no_gradient(distance, clipped):
    fixed = Categorical(jnp.zeros((2, 3)))

    def loss(logits):
        return clipped_divergence(Categorical(logits), fixed, 1.0)

    logits = distance * jnp.eye(2, 3)
    divergence = float(Categorical(logits).divergence(fixed).sum())
    assert (divergence < 1) == clipped
    np.testing.assert_allclose(loss(logits), max(1.0, divergence), rtol=1e-6)
    assert np.any(jax.grad(loss)(logits)) == (not clipped)


def test_free_bits_count_the_sum_over_groups():
    """Two groups of 0.7 nats each are above 1 nat."""
    confident = Categorical(jnp.log(jnp.float32([[0.9999, 0.0001]] * 2)))
    fair = Categorical(jnp.zeros((2, 2)))
    each = confident.divergence(fair)
    assert np.all(each < 1)
    np.testing.assert_allclose(clipped_divergence(confident, fair, 1.0), each.sum(), rtol=1e-6)


ACTIONS = {"turn": Discrete((), 3), "grip": Continuous((2,))}


def test_actions_are_concatenated_in_sorted_key_order_and_divided_by_what_exceeds_one():
    action = {"turn": jnp.asarray([2]), "grip": jnp.float32([[0.5, -4.0]])}
    np.testing.assert_array_equal(encode_actions(action, ACTIONS), [[0.5, -1, 0, 0, 1]])


def test_no_gradient_passes_the_divisor_of_actions():
    def encode(grip):
        return encode_actions({"turn": jnp.asarray(0), "grip": grip}, ACTIONS)[:2]

    np.testing.assert_allclose(jax.jacobian(encode)(jnp.float32([0.5, -4.0])), np.diag([1, 0.25]))


def test_vectors_are_symlog_and_classes_one_hot_in_sorted_key_order():
    features = {"z": Continuous(()), "b": Discrete((2,), 2), "a": Continuous((2,)), "c": Image((64, 64, 1))}
    observation = {
        "z": jnp.float32([np.e - 1]),
        "a": jnp.float32([[0, 1 - np.e]]),
        "b": jnp.asarray([[1, 0]]),
        "c": jnp.zeros((1, 64, 64, 1), jnp.uint8),
    }
    np.testing.assert_allclose(encode_vectors(observation, features), [[0, -1, 0, 1, 1, 0, 1]], rtol=1e-6)


def test_images_are_stacked_in_sorted_key_order_between_minus_and_plus_a_half():
    features = {"b": Image((64, 64, 1)), "a": Image((64, 64, 2))}
    image = lambda value, channels: jnp.full((1, 64, 64, channels), value, jnp.uint8)  # noqa: E731
    encoded = encode_images({"b": image(255, 1), "a": image(51, 2)}, features)
    assert encoded.shape == (1, 64, 64, 3)
    np.testing.assert_allclose(encoded[0, 0, 0], [-0.3, -0.3, 0.5], rtol=1e-6)
