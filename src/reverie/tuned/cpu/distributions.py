"""`Categorical` and `TwoHot` on columns: classes and bins lie on the axis before the last, examples on the last.

A CPU reduces over the outer axis of these arrays with a loop along N. Transposed views would make XLA copy them.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from reverie.distributions import BINS, TwoHot
from reverie.ops import neighbours
from reverie.ops.two_hot import Neighbours

HALF = len(BINS) // 2


def probabilities(logits: Float[Array, "groups classes n"], unimix: float) -> Float[Array, "groups classes n"]:
    """Compute `Categorical.probs`."""
    probs = jax.nn.softmax(logits.astype(jnp.float32), axis=1)
    return (1 - unimix) * probs + unimix / logits.shape[1] if unimix else probs


def draw(
    logits: Float[Array, "groups classes n"], unimix: float, uniform: Float[Array, "groups n"] | None
) -> Int[Array, "groups n"]:
    """Compute `Categorical.pick`, or `Categorical.mode` if `uniform` is None."""
    if uniform is None:
        return jnp.argmax(logits, axis=1)
    cumulative = jnp.cumsum(probabilities(logits, unimix), axis=1)
    total = cumulative[:, -1:]
    below = (cumulative <= uniform[:, None] * total) & (cumulative < total)
    return jnp.sum(below, axis=1)


def straight_through(
    logits: Float[Array, "groups classes n"], unimix: float, sample: Int[Array, "groups n"]
) -> Float[Array, "groups classes n"]:
    """Compute `Categorical.straight_through`."""
    probs = probabilities(logits, unimix)
    one_hot = jax.nn.one_hot(sample, logits.shape[1], axis=1)
    return jax.lax.stop_gradient(one_hot) + (probs - jax.lax.stop_gradient(probs))


class TwoHotColumns(TwoHot):
    """`TwoHot` with one prediction per column."""

    logits: Float[Array, "*steps bins n"]

    def loss(self, *targets: Float[Array, "*steps n"]) -> Float[Array, "*steps n"]:
        """Return the cross-entropy with the two-hot targets, which get no gradient."""
        fixed = jax.lax.stop_gradient(targets)
        return _two_hot_loss(
            self.logits.astype(jnp.float32), tuple(neighbours(x.astype(jnp.float32), BINS) for x in fixed)
        )

    def prediction(self) -> Float[Array, "*steps n"]:
        """Return the expected value, summed symmetrically as by `decode_two_hot`."""
        probs = jax.nn.softmax(self.logits.astype(jnp.float32), axis=-2)
        upper, lower = probs[..., HALF + 1 :, :], jnp.flip(probs[..., :HALF, :], -2)
        return jnp.sum((upper - lower) * BINS[HALF + 1 :].reshape((1,) * (probs.ndim - 2) + (HALF, 1)), -2)


@jax.custom_vjp
def _two_hot_loss(logits: Float[Array, "*steps bins n"], targets: tuple[Neighbours, ...]) -> Float[Array, "*steps n"]:
    """Compute `ops.two_hot_loss`, with the same written-out gradient."""
    return _forward(logits, targets)[0]


def _forward(logits: Array, targets: tuple[Neighbours, ...]) -> tuple[Array, tuple[Any, ...]]:
    largest = jnp.max(logits, axis=-2, keepdims=True)
    normalizer = jnp.squeeze(largest, -2) + jnp.log(jnp.sum(jnp.exp(logits - largest), axis=-2))
    expected = sum((1 - t.share) * _pick(logits, t.below) + t.share * _pick(logits, t.above) for t in targets)
    return len(targets) * normalizer - expected, (jax.nn.softmax(logits, axis=-2), targets)


def _backward(residuals: tuple[Any, ...], gradient: Array) -> tuple[Array, None]:
    probs, targets = residuals
    index = jnp.arange(len(BINS)).reshape((1,) * (probs.ndim - 2) + (len(BINS), 1))
    weights = sum(
        jnp.maximum(0.0, 1 - jnp.abs((index - jnp.expand_dims(t.below, -2)) - jnp.expand_dims(t.share, -2)))
        for t in targets
    )
    return jnp.expand_dims(gradient, -2) * (len(targets) * probs - weights), None


_two_hot_loss.defvjp(_forward, _backward)


def _pick(logits: Array, index: Array) -> Array:
    return jnp.squeeze(jnp.take_along_axis(logits, jnp.expand_dims(index, -2), -2, mode="clip"), -2)
