"""Explicit broadcasting of per-feature parameters; implicit rank promotion is an error in the tests."""

from jaxtyping import Array


def align(parameter: Array, to: Array) -> Array:
    """Return the parameter with leading axes of size 1, as many as it takes to broadcast against `to`."""
    return parameter.reshape((1,) * (to.ndim - parameter.ndim) + parameter.shape)
