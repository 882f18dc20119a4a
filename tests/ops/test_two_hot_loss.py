"""The two-hot loss, whose gradient is written out, equals the plain cross-entropy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.ops import neighbours, symexp_bins, two_hot, two_hot_loss

BINS = symexp_bins(255)


def plain(logits, targets):
    log_probs = jax.nn.log_softmax(logits)
    return -sum(jnp.sum(two_hot(target, BINS) * log_probs, -1) for target in targets)


@pytest.mark.parametrize("count", [1, 2])
def test_loss_and_gradient(count):
    logits = 3 * jax.random.normal(jax.random.key(0), (5, 4, 255))
    special = jnp.asarray([0.0, 1e12, -1e12, float(BINS[3])])[None]
    targets = [100 * jax.random.normal(jax.random.key(1), (5, 4)), jnp.broadcast_to(special, (5, 4))][:count]
    weight = jnp.arange(20.0).reshape(5, 4)
    own = lambda x: two_hot_loss(x, tuple(neighbours(t, BINS) for t in targets))  # noqa: E731
    np.testing.assert_allclose(own(logits), plain(logits, targets), rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(weight * own(x)))(logits)
    expected = jax.grad(lambda x: jnp.sum(weight * plain(x, targets)))(logits)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-5)


def test_a_nan_target_gives_a_nan_loss_and_gradient():
    loss, gradient = jax.value_and_grad(lambda x: two_hot_loss(x, (neighbours(jnp.float32(np.nan), BINS),)))(
        jnp.zeros(255)
    )
    assert jnp.isnan(loss)
    assert jnp.isnan(gradient).any()
