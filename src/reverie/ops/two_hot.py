"""Two-hot regression (section 3): a real number as a distribution over exponentially spaced bins.

The magnitude of a target decides between which bins probability moves, not how large the gradient is. This is what
lets one learning rate fit rewards of 0.01 and of 10,000.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from reverie.ops.symlog import symlog

LIMIT = 20.0  # bins reach from symexp(-20) to symexp(20), about ±4.9e8

Bins = Float[np.ndarray, " bins"]


def symexp_bins(count: int) -> Float[np.ndarray, "{count}"]:
    """Return `count` bins (an odd number) from symexp(-20) to symexp(20), exactly antisymmetric.

    One half is computed and mirrored, so that bin[i] == -bin[-1 - i] holds to the last bit.
    """
    if count < 3 or count % 2 == 0:
        raise ValueError(f"Two-hot needs an odd number of bins, at least 3, so that one of them is 0; got {count}.")
    half = -np.expm1(np.linspace(LIMIT, 0, count // 2 + 1))
    return np.concatenate([half, -half[:-1][::-1]]).astype(np.float32)


class Neighbours(NamedTuple):
    """The two bins around a target, and the share of its weight that the upper one gets."""

    below: Int[Array, "*batch"]
    above: Int[Array, "*batch"]
    share: Float[Array, "*batch"]


def neighbours(target: Float[Array, "*batch"], bins: Bins) -> Neighbours:
    """Find the `symexp_bins` around each target.

    A target beyond the ends belongs to the end bin alone; NaN stays NaN.
    """
    edges, last = jnp.asarray(bins), len(bins) - 1
    # Bins are evenly spaced in symlog, so the index can be computed; comparing with the bins corrects its rounding.
    near = jnp.clip((symlog(target) + LIMIT) * (last / (2 * LIMIT)), 0, last - 1).astype(jnp.int32)
    below = jnp.clip(near + (target >= edges[near + 1]) - (target < edges[near]), 0, last)
    above = jnp.minimum(below + 1, last)
    width = edges[above] - edges[below]
    share = (target - edges[below]) / jnp.where(width > 0, width, 1.0)
    share = jnp.where(width > 0, jnp.clip(share, 0.0, 1.0), 0.0)
    return Neighbours(below, above, jnp.where(jnp.isnan(target), target, share))


def two_hot(target: Float[Array, "*batch"], bins: Bins) -> Float[Array, "*batch bins"]:
    """Return weights that sum to 1, split linearly between the two bins around the target."""
    return _weights(neighbours(target, bins), len(bins))


@jax.custom_vjp
def two_hot_loss(logits: Float[Array, "*batch bins"], targets: tuple[Neighbours, ...]) -> Float[Array, "*batch"]:
    """Return the cross-entropy -Σ two_hot(target) · log_softmax(logits), summed over targets.

    Its gradient, n · softmax − weights, is written out, so that neither pass stores dense weights: an array as large
    as the logits is read once per pass, whatever the number of targets.
    """
    return _two_hot_loss(logits, targets)[0]


def _two_hot_loss(logits: Array, targets: tuple[Neighbours, ...]) -> tuple[Array, tuple[Any, ...]]:
    # The largest logit and the sum are the softmax's own, so that XLA computes them once for both.
    largest = jnp.max(logits, axis=-1, keepdims=True)
    normalizer = jnp.squeeze(largest, -1) + jnp.log(jnp.sum(jnp.exp(logits - largest), axis=-1))
    expected = sum((1 - t.share) * _pick(logits, t.below) + t.share * _pick(logits, t.above) for t in targets)
    return len(targets) * normalizer - expected, (jax.nn.softmax(logits, axis=-1), targets)


def _two_hot_loss_gradient(residuals: tuple[Any, ...], gradient: Array) -> tuple[Array, None]:
    probs, targets = residuals
    weights = sum(_weights(target, probs.shape[-1]) for target in targets)
    return jnp.expand_dims(gradient, -1) * (len(targets) * probs - weights), None


two_hot_loss.defvjp(_two_hot_loss, _two_hot_loss_gradient)


def _pick(logits: Array, index: Array) -> Array:
    return jnp.squeeze(jnp.take_along_axis(logits, jnp.expand_dims(index, -1), -1, mode="clip"), -1)


def _weights(target: Neighbours, count: int) -> Array:
    """Return dense weights: a hat function of width 1 on each side, whose peak lies between the two bins."""
    below, share = jnp.expand_dims(target.below, -1), jnp.expand_dims(target.share, -1)
    index = jnp.arange(count).reshape((1,) * (below.ndim - 1) + (count,))
    return jnp.maximum(0.0, 1 - jnp.abs((index - below) - share))


def decode_two_hot(probs: Float[Array, "*batch bins"], bins: Bins) -> Float[Array, "*batch"]:
    """Return the expected bin, summed symmetrically so that symmetric probabilities give exactly 0.

    A plain dot product would add numbers of size 1e8 whose rounding errors do not cancel: uniform probabilities would
    decode to about 2. Here each pair of mirrored bins is subtracted first.
    """
    half = len(bins) // 2
    upper, lower = probs[..., half + 1 :], jnp.flip(probs[..., :half], -1)
    positive = bins[half + 1 :].reshape((1,) * (probs.ndim - 1) + (half,))
    return jnp.sum((upper - lower) * positive, axis=-1)
