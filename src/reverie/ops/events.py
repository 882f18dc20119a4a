"""Sums over the axes of one event (an image, a vector, an action), which leave one number per batch element."""

import jax.numpy as jnp
from jaxtyping import Array


def sum_events(x: Array, events: int) -> Array:
    """Return the sum over the last `events` axes."""
    return jnp.sum(x, axis=tuple(range(x.ndim - events, x.ndim)))
