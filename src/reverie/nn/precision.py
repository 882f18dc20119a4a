"""Mixed precision (section 2): parameters stay float32, matrix products run in the compute dtype."""

from typing import TypeVar

import jax
import jax.numpy as jnp

from reverie.nn.norm import RMSNorm

Tree = TypeVar("Tree")


def compute_cast(tree: Tree, dtype: jnp.dtype | type) -> Tree:
    """Return the tree with weights and biases in the compute dtype, in which the layers then compute.

    The scales of norms stay float32, because norms are computed in float32.
    """
    return jax.tree.map(lambda x: x if _is_norm(x) else x.astype(dtype), tree, is_leaf=_is_norm)


def _is_norm(node: object) -> bool:
    return isinstance(node, RMSNorm)
