"""The conversions of `values` inside compiled programs, without its checks.

A compiled program cannot report values out of range; the compiled environments check that numbers are finite.

May import: the other files of this package; JAX.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reverie.spaces.features import Continuous, Discrete, Image
from reverie.spaces.kinds import both_bounds, start_and_count
from reverie.spaces.leaves import Leaf, nest
from reverie.spaces.spaces import Spaces


def encode_observation(spaces: Spaces, observation: Any) -> dict[str, jax.Array]:
    """Convert observations like `Spaces.encode_observation`: key → (N, *shape)."""
    return {key: _encode(leaf, jnp.asarray(leaf.pick(observation))) for key, leaf in spaces.observation_leaves.items()}


def decode_action(spaces: Spaces, action: Mapping[str, jax.Array]) -> Any:
    """Convert actions like `Spaces.decode_action`: leaves (N, ...) in the structure of the action space."""
    return nest(
        spaces.action_space, {leaf.path: _decode(leaf, action[key]) for key, leaf in spaces.action_leaves.items()}
    )


def _encode(leaf: Leaf, value: jax.Array) -> jax.Array:
    match leaf.feature:
        case Image():
            return _encode_image(leaf, value)
        case Continuous():
            return value.astype(jnp.float32)
        case Discrete():
            return value.astype(jnp.int32) - _start(leaf.space)


def _encode_image(leaf: Leaf, value: jax.Array) -> jax.Array:
    if leaf.scale is not None:
        low, step = (one.astype(np.float32)[None] for one in leaf.scale)
        value = jnp.rint(jnp.clip((value.astype(jnp.float32) - low) / step, 0, 255))
    moved = value.transpose(0, *(axis + 1 for axis in leaf.order))
    return moved.reshape(value.shape[0], *leaf.feature.shape).astype(jnp.uint8)


def _decode(leaf: Leaf, value: jax.Array) -> jax.Array:
    space, dtype = leaf.space, jax.dtypes.canonicalize_dtype(leaf.space.dtype)
    if isinstance(leaf.feature, Discrete):
        return (value.astype(jnp.int32) + _start(space)).astype(dtype)
    finite, low, high = _row(both_bounds(space), bool), _row(space.low, np.float32), _row(space.high, np.float32)
    unit = jnp.clip(value, -1, 1)
    # `where` also around the bounds: 0 · inf would be NaN.
    between = (1 - unit) / 2 * np.where(finite, low, 0) + (1 + unit) / 2 * np.where(finite, high, 0)
    mapped = jnp.clip(jnp.where(finite, between, value), low, high)
    return (mapped if space.dtype.kind == "f" else jnp.rint(mapped)).astype(dtype)


def _start(space: Any) -> np.ndarray:
    return _row(np.broadcast_to(start_and_count(space)[0], space.shape), np.int32)


def _row(x: Any, dtype: Any) -> np.ndarray:
    """The array with a leading axis for the environments."""
    return np.asarray(x).astype(dtype)[None]
