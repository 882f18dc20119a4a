"""Two-hot regression (section 3): a real number as a distribution over exponentially spaced bins.

The magnitude of a target moves probability between bins, not the size of a gradient: this is what lets one
learning rate fit rewards of 0.01 and of 10,000.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

LIMIT = 20.0  # bins reach from symexp(-20) to symexp(20), about ±4.9e8

Bins = Float[np.ndarray, " bins"]


def symexp_bins(count: int) -> Float[np.ndarray, "{count}"]:
    """`count` bins (an odd number) from symexp(-20) to symexp(20), exactly antisymmetric.

    One half is computed and mirrored, so that bin[i] == -bin[-1 - i] holds to the last bit.
    """
    if count < 3 or count % 2 == 0:
        raise ValueError(f"Two-hot needs an odd number of bins, at least 3, so that one of them is 0; got {count}.")
    half = -np.expm1(np.linspace(LIMIT, 0, count // 2 + 1))
    return np.concatenate([half, -half[:-1][::-1]]).astype(np.float32)


class Neighbours(NamedTuple):
    """The two bins around a target, and the upper one's share of its weight."""

    below: Int[Array, "*batch"]
    above: Int[Array, "*batch"]
    share: Float[Array, "*batch"]


def neighbours(target: Float[Array, "*batch"], bins: Bins) -> Neighbours:
    """Targets beyond the ends go to the end bin. A target on a bin has all its weight there. NaN stays NaN."""
    edges = jnp.asarray(bins)
    # As a loop: unrolled, XLA puts the whole search into whatever reads it, and searches again for every bin.
    below = jnp.clip(jnp.searchsorted(edges, target, side="right", method="scan") - 1, 0, len(bins) - 1)
    above = jnp.minimum(below + 1, len(bins) - 1)
    width = edges[above] - edges[below]
    share = (target - edges[below]) / jnp.where(width > 0, width, 1.0)
    share = jnp.where(width > 0, jnp.clip(share, 0.0, 1.0), 0.0)
    return Neighbours(below, above, jnp.where(jnp.isnan(target), target, share))


def two_hot(target: Float[Array, "*batch"], bins: Bins) -> Float[Array, "*batch bins"]:
    """Weights that sum to 1, split linearly between the two bins around the target."""
    return _weights(neighbours(target, bins), len(bins), target.ndim)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def two_hot_loss(logits: Float[Array, "..."], targets: tuple[Neighbours, ...], axis: int) -> Float[Array, "..."]:
    """Cross-entropy of the logits along `axis` with the weights of each target, added up over targets.

    With its own gradient, n · softmax − weights, so that neither pass holds dense weights: an array as large as the
    logits is read once per pass, whatever the number of targets.
    """
    return _two_hot_loss(logits, targets, axis)[0]


def _two_hot_loss(logits: Array, targets: tuple[Neighbours, ...], axis: int) -> tuple[Array, tuple[Any, ...]]:
    # The largest logit and the sum are softmax's own, so that XLA computes them once for both.
    largest = jnp.max(logits, axis=axis, keepdims=True)
    normalizer = jnp.squeeze(largest, axis) + jnp.log(jnp.sum(jnp.exp(logits - largest), axis=axis))
    pick = lambda index: jnp.squeeze(  # noqa: E731
        jnp.take_along_axis(logits, jnp.expand_dims(index, axis), axis, mode="clip"), axis
    )
    expected = sum((1 - t.share) * pick(t.below) + t.share * pick(t.above) for t in targets)
    return len(targets) * normalizer - expected, (jax.nn.softmax(logits, axis=axis), targets)


def _two_hot_loss_gradient(axis: int, residuals: tuple[Any, ...], gradient: Array) -> tuple[Array, None]:
    probs, targets = residuals
    weights = sum(_weights(t, probs.shape[axis], axis % probs.ndim) for t in targets)
    return jnp.expand_dims(gradient, axis) * (len(targets) * probs - weights), None


two_hot_loss.defvjp(_two_hot_loss, _two_hot_loss_gradient)


def _weights(target: Neighbours, count: int, axis: int) -> Array:
    """Dense, with the bins on `axis`: a hat of width one on each side, whose top lies between the two bins."""
    below, share = (jnp.expand_dims(x, axis) for x in (target.below, target.share))
    index = jnp.arange(count).reshape([count if i == axis else 1 for i in range(below.ndim)])
    return jnp.maximum(0.0, 1 - jnp.abs((index - below) - share))


def decode_two_hot(probs: Float[Array, "..."], bins: Bins, axis: int = -1) -> Float[Array, "..."]:
    """The expected bin, summed symmetrically so that symmetric probabilities give exactly 0.

    A plain dot product would add numbers of size 1e8 whose rounding errors do not cancel: uniform
    probabilities would decode to about 2. Here each pair of mirrored bins is subtracted first.
    """
    half, axis = len(bins) // 2, axis % probs.ndim
    upper = jax.lax.slice_in_dim(probs, half + 1, len(bins), axis=axis)
    lower = jnp.flip(jax.lax.slice_in_dim(probs, 0, half, axis=axis), axis)
    positive = bins[half + 1 :].reshape([half if i == axis else 1 for i in range(probs.ndim)])
    return jnp.sum((upper - lower) * positive, axis)
