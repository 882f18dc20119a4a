"""The policy over several actions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.behaviour import Actor, Critic
from reverie.distributions import Categorical
from reverie.errors import InputError
from reverie.spaces import Continuous, Discrete

ACTIONS = {"turn": Discrete((), 3), "grip": Continuous((2,))}
FEATURES = jax.random.normal(jax.random.key(0), (5, 8))


def test_log_probs_and_entropies_are_summed_over_keys_and_dimensions():
    policy = Actor(8, 4, ACTIONS, key=jax.random.key(1))(FEATURES)
    action = policy.sample(jax.random.key(2))
    grip, turn = policy.parts["grip"], policy.parts["turn"]
    expected = grip.log_prob(action["grip"]).sum(-1) + turn.log_prob(action["turn"])
    np.testing.assert_allclose(policy.log_prob(action), expected, rtol=1e-6)
    entropies = policy.entropies()
    np.testing.assert_allclose(entropies["grip"], grip.entropy().sum(-1), rtol=1e-6)
    assert entropies["turn"].shape == entropies["grip"].shape == (5,)


def test_discrete_policies_are_plain_logits_and_the_first_is_nearly_uniform():
    policy = Actor(8, 4, ACTIONS, key=jax.random.key(1))(FEATURES)
    assert policy.parts["turn"].unimix == 0
    np.testing.assert_allclose(policy.parts["turn"].probs, np.full((5, 3), 1 / 3), atol=0.02)
    np.testing.assert_allclose(policy.parts["grip"].mean, np.zeros((5, 2)), atol=0.05)


def test_keys_of_actions_are_sorted():
    one = Actor(8, 4, ACTIONS, key=jax.random.key(1))
    other = Actor(8, 4, dict(reversed(ACTIONS.items())), key=jax.random.key(1))
    assert [name for name, _ in one.features] == ["grip", "turn"]
    assert jax.tree.all(jax.tree.map(jnp.array_equal, one, other))


def test_the_first_value_is_exactly_zero():
    np.testing.assert_array_equal(Critic(8, 4, key=jax.random.key(0))(FEATURES).prediction(), np.zeros(5))


def test_a_masked_action_is_chosen_among_the_allowed_classes():
    actor = Actor(8, 4, {"move": Discrete((), 3, mask="action_mask"), "turn": Discrete((), 3)}, key=jax.random.key(0))
    allowed = jnp.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]], bool)
    policy = actor(FEATURES, {"move": allowed})
    np.testing.assert_array_equal(policy.parts["move"].probs > 0, allowed)
    np.testing.assert_allclose(policy.entropies()["move"], np.log(allowed.sum(-1)), atol=1e-3)
    assert type(policy.parts["turn"]) is Categorical
    with pytest.raises(InputError, match=r"'move' is masked: pass allowed=world_model.allowed\(latent\)"):
        actor(FEATURES)


def test_classes_that_an_entry_lacks_are_never_chosen():
    feature = Discrete((2, 2), 5, (2, 5, 3, 1))
    actor = Actor(6, 4, {"act": feature}, key=jax.random.key(0))
    policy = actor(jax.random.normal(jax.random.key(1), (4000, 6)))
    drawn = np.asarray(policy.sample(jax.random.key(2))["act"])
    for index, count in zip(np.ndindex(2, 2), (2, 5, 3, 1), strict=True):
        assert set(np.unique(drawn[:, *index])) == set(range(count))
    assert policy.parts["act"].pick(jnp.full((4000, 2, 2), 1 - 2**-24)).max((0,)).tolist() == [[1, 4], [2, 0]]
    # A fresh policy is close to uniform, and what can't be chosen adds nothing.
    np.testing.assert_allclose(policy.entropies()["act"], feature.max_entropy, rtol=1e-3)
    np.testing.assert_allclose(feature.max_entropy, np.log(2 * 5 * 3), rtol=1e-6)
    gradient = jax.grad(lambda a: a(jnp.ones((1, 6))).log_prob({"act": jnp.zeros((1, 2, 2), int)}).sum())(actor)
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(gradient))
