"""Explicit broadcasting of per-feature parameters."""

from jaxtyping import Array


def align(parameter: Array, to: Array) -> Array:
    """A per-feature parameter with leading axes of 1, so that it broadcasts against `to` explicitly."""
    return parameter.reshape((1,) * (to.ndim - parameter.ndim) + parameter.shape)
