"""The optimizer (section 4): AGC, LaProp and warm-up as one Optax chain. May import: Optax only."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

ROW = 256  # numbers in a row of `tensor_norms`


def adaptive_gradient_clipping(clip: float, floor: float) -> optax.GradientTransformation:
    """Scale each tensor's gradient by 1 / max(1, ‖g‖ / (clip · max(floor, ‖p‖))).

    DreamerV3 clips per tensor; Optax's own version clips per output unit.
    """

    def update(
        updates: optax.Updates, state: optax.OptState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, optax.OptState]:
        if params is None:
            raise ValueError("Adaptive gradient clipping compares gradients with parameters; pass `params`.")

        gradients, structure = jax.tree.flatten(updates)
        limits = clip * jnp.maximum(floor, tensor_norms(jax.tree.leaves(params)))
        divisors = jnp.maximum(1.0, tensor_norms(gradients) / limits)
        clipped = [gradient / divisor for gradient, divisor in zip(gradients, divisors, strict=True)]
        return jax.tree.unflatten(structure, clipped), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def tensor_norms(tensors: Sequence[Array]) -> Float[Array, " tensors"]:
    """Return the Euclidean norm of each tensor.

    All tensors are laid out in rows of one array, each starting a new row, so that a few kernels compute all norms.
    """
    rows = [-(-tensor.size // ROW) for tensor in tensors]
    padded = [jnp.pad(x.ravel(), (0, count * ROW - x.size)) for x, count in zip(tensors, rows, strict=True)]
    squares = jnp.sum(jnp.square(jnp.concatenate(padded).reshape((-1, ROW))), axis=1)
    owner = np.repeat(np.arange(len(tensors)), rows)
    return jnp.sqrt(jax.ops.segment_sum(squares, owner, len(tensors), indices_are_sorted=True))


def laprop(
    learning_rate: float,
    *,
    warmup: int,
    clip: float,
    clip_floor: float,
    decay_rms: float,
    decay_momentum: float,
    epsilon: float,
) -> optax.GradientTransformation:
    """Chain AGC, RMS scaling, momentum on the result, and a linear warm-up from 0 over `warmup` updates.

    The first update has learning rate 0; update n, counted from 0, has `learning_rate · min(1, n / warmup)`.
    """
    schedule = optax.linear_schedule(0.0, learning_rate, warmup) if warmup else learning_rate
    elementwise = optax.chain(
        optax.scale_by_rms(decay_rms, eps=epsilon, eps_in_sqrt=False, bias_correction=True),
        optax.ema(decay_momentum, debias=True),
        optax.scale_by_learning_rate(schedule),
    )
    # Elementwise steps run on one vector of all parameters: each of a hundred tensors would add its own kernels to
    # compile and to launch.
    return optax.chain(adaptive_gradient_clipping(clip, clip_floor), optax.flatten(elementwise))
