"""Mixed precision (section 2): parameters stay float32, products run in the compute dtype."""

from typing import TypeVar

import jax
import jax.numpy as jnp

from reverie.nn.norm import RMSNorm

Tree = TypeVar("Tree")


def compute_cast(tree: Tree, dtype: jnp.dtype | type) -> Tree:
    """The same tree with weights and biases in the compute dtype, in which layers then compute.

    Scales of norms stay as they are: norms are computed in float32.
    """
    is_norm = lambda node: isinstance(node, RMSNorm)  # noqa: E731
    return jax.tree.map(lambda x: x if is_norm(x) else x.astype(dtype), tree, is_leaf=is_norm)
