"""Mixed precision (section 2): parameters stay float32, products run in the compute dtype."""

from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array

Tree = TypeVar("Tree")


def compute_cast(tree: Tree, dtype: jnp.dtype | type) -> Tree:
    """The same tree with every float array in the compute dtype; layers compute in their weights' dtype."""
    return jax.tree.map(lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def align(parameter: Array, to: Array) -> Array:
    """A per-feature parameter with leading axes of 1, so that it broadcasts against `to` explicitly."""
    return parameter.reshape((1,) * (to.ndim - parameter.ndim) + parameter.shape)
