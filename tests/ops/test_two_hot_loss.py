"""The two-hot loss with its own gradient against the plain cross-entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.ops import decode_two_hot, neighbours, symexp_bins, two_hot, two_hot_loss

BINS = symexp_bins(255)


def plain(logits, targets):
    log_probs = jax.nn.log_softmax(logits)
    return -sum(jnp.sum(two_hot(target, BINS) * log_probs, -1) for target in targets)


@pytest.mark.parametrize("axis", [-1, 1, 0])
@pytest.mark.parametrize("count", [1, 2])
def test_loss_and_gradient(axis, count):
    logits = 3 * jax.random.normal(jax.random.key(0), (5, 4, 255))
    special = jnp.asarray([0.0, 1e12, -1e12, float(BINS[3])])[None]
    targets = [100 * jax.random.normal(jax.random.key(1), (5, 4)), jnp.broadcast_to(special, (5, 4))][:count]
    weight = jnp.arange(20.0).reshape(5, 4)
    own = lambda x: two_hot_loss(x, tuple(neighbours(t, BINS) for t in targets), axis)  # noqa: E731
    moved = jnp.moveaxis(logits, -1, axis)
    np.testing.assert_allclose(own(moved), plain(logits, targets), rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(weight * own(x)))(moved)
    expected = jax.grad(lambda x: jnp.sum(weight * plain(x, targets)))(logits)
    np.testing.assert_allclose(jnp.moveaxis(gradient, axis, -1), expected, rtol=1e-4, atol=1e-5)


def test_a_target_that_is_no_number_is_not_taken_for_one():
    loss, gradient = jax.value_and_grad(lambda x: two_hot_loss(x, (neighbours(jnp.float32(np.nan), BINS),), -1))(
        jnp.zeros(255)
    )
    assert jnp.isnan(loss)
    assert jnp.isnan(gradient).any()


def test_decode_is_the_same_on_any_axis():
    probs = jax.nn.softmax(jax.random.normal(jax.random.key(0), (5, 4, 255)))
    np.testing.assert_allclose(
        decode_two_hot(jnp.moveaxis(probs, -1, 1), BINS, axis=1), decode_two_hot(probs, BINS), rtol=1e-5
    )
    assert decode_two_hot(jnp.full((255, 2), 1 / 255), BINS, axis=0).tolist() == [0.0, 0.0]
