"""Losses of actor and critic, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.behaviour import Policy, imagination_loss, imagination_targets, replay_value_loss
from reverie.distributions import BINS, Categorical, TwoHot
from reverie.ops import ReturnScale

DISCOUNT, TRACE = 1 - 1 / 333, 0.95


def column(*numbers: float) -> jax.Array:
    return jnp.asarray(numbers, jnp.float32)[:, None]


def flags(*numbers: int) -> jax.Array:
    return jnp.asarray(numbers, bool)[:, None]


def cross_entropy(logits: jax.Array, target: float) -> float:
    """With a target that may lie between two bins."""
    above = int(np.searchsorted(BINS, target))
    share = (target - BINS[above - 1]) / (BINS[above] - BINS[above - 1])
    log_probs = np.asarray(jax.nn.log_softmax(logits), np.float64)
    return float(-share * log_probs[above] - (1 - share) * log_probs[above - 1])


def replayed(last: jax.Array, terminal: jax.Array, targets: list[float], bootstrap: jax.Array) -> None:
    """The replay loss equals the cross-entropies with these targets and with the slow critic's value."""
    logits = jax.random.normal(jax.random.key(0), (3, 1, 255))
    slow, reward = column(0.5, -0.5, 2), column(7, 1, 2)
    ours = replay_value_loss(
        TwoHot(logits), slow, reward, last, terminal, bootstrap, trace=TRACE, discount=DISCOUNT
    )  # fmt: skip
    for t, target in enumerate(targets):
        running = 1 - float(last[t, 0])
        expected = cross_entropy(logits[t, 0], target) + cross_entropy(logits[t, 0], float(slow[t, 0]))
        np.testing.assert_allclose(ours[t, 0], running * expected, rtol=1e-5)


def test_replayed_returns_mix_real_rewards_with_imagined_returns():
    second = 2 + DISCOUNT * 30
    first = 1 + DISCOUNT * ((1 - TRACE) * 20 + TRACE * second)
    replayed(flags(0, 0, 0), flags(0, 0, 0), [first, second], column(10, 20, 30))


def test_a_terminal_step_stops_bootstrapping():
    replayed(flags(0, 1, 0), flags(0, 1, 0), [1.0, 0.0], column(10, 20, 30))


def test_a_truncated_step_is_bootstrapped_and_hides_the_next_episode():
    replayed(flags(0, 1, 0), flags(0, 0, 0), [1 + DISCOUNT * 20, 0.0], column(10, 20, 30))


IMAGINED = {
    "slow_value": column(0, 0.1, 0.2), "reward": column(9, 1, 2), "live": column(0.9, 0.8, 0.5)
}  # fmt: skip
SETTINGS = {"trace": TRACE, "scale_rate": 0.01, "percentiles": (5.0, 95.0)}
ACTION = {"move": jnp.asarray([[0], [2], [1]])}


def policy(logits: jax.Array) -> Policy:
    return Policy({"move": Categorical(logits)}, (("move", 0),))


def imagined(logits: jax.Array, values: jax.Array, scale: ReturnScale = ReturnScale.initial()):  # noqa: B008
    """Mean losses, and the returns; logits and values of three imagined steps, of which the last only bootstraps."""
    targets = imagination_targets(TwoHot(values).prediction(), **IMAGINED, scale=scale, **SETTINGS)
    action = jax.tree.map(lambda x: x[:-1], ACTION)
    loss = imagination_loss(policy(logits[:-1]), TwoHot(values[:-1]), action, targets.steps, entropy_scale=3e-4)
    return jax.tree.map(jnp.mean, loss.losses), targets.steps.returns


LOGITS = jax.random.normal(jax.random.key(1), (3, 1, 4))
ZERO_VALUES = jnp.zeros((3, 1, 255))
RETURNS = np.array([1 + 0.8 * TRACE * 2, 2.0])  # with values of 0
WEIGHTS = np.array([0.9, 0.9 * 0.8])


@pytest.mark.parametrize("spread", [0.0, 400.0])
def test_policy_loss_by_hand(spread):
    """REINFORCE with a baseline of 0; the scale divides by the range of returns where that is above 1."""
    before = ReturnScale(jnp.zeros(()), jnp.float32(spread))
    losses, returns = imagined(LOGITS, ZERO_VALUES, before)
    low, high = np.percentile(RETURNS, [5, 95])
    scale = max(1.0, 0.99 * spread + 0.01 * (high - low))
    log_probs = np.asarray(jax.nn.log_softmax(LOGITS))[:2, 0]
    entropy = -(np.exp(log_probs) * log_probs).sum(-1)
    terms = WEIGHTS * -(log_probs[[0, 1], [0, 2]] * RETURNS / scale + 3e-4 * entropy)
    np.testing.assert_allclose(returns[:, 0], RETURNS, rtol=1e-6)
    np.testing.assert_allclose(losses["policy"], terms.mean(), rtol=1e-5)


def test_value_loss_by_hand():
    values = jax.random.normal(jax.random.key(2), (3, 1, 255)) * 1e-3
    losses, returns = imagined(LOGITS, values)
    targets, slow = np.asarray(returns)[:, 0], (0.0, 0.1)
    terms = [cross_entropy(values[t, 0], targets[t]) + cross_entropy(values[t, 0], slow[t]) for t in range(2)]
    np.testing.assert_allclose(losses["value"], np.mean(WEIGHTS * terms), rtol=1e-4)


def test_policy_and_value_learn_from_their_own_loss_only():
    def gradient(name):
        return jax.grad(lambda *logits: imagined(*logits)[0][name], (0, 1))(LOGITS, ZERO_VALUES)

    (policy_of_policy, value_of_policy), (policy_of_value, value_of_value) = gradient("policy"), gradient("value")
    assert np.any(policy_of_policy)
    assert np.any(value_of_value)
    assert not np.any(value_of_policy)
    assert not np.any(policy_of_value)
