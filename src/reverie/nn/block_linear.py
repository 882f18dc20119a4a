"""The block-diagonal linear layer (section 2): G small matrix products instead of one large one."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.nn.align import align
from reverie.nn.init import scaled_normal


class BlockLinear(eqx.Module):
    """A linear layer in G blocks, each of which sees its own slice of `x`; W has shape (G, in/G, out/G).

    With `shared`, the input of a block is concat(its slice of x, shared). The product is computed in two parts, so
    that `shared` is multiplied once with the weights of all blocks instead of being copied G times.
    """

    weight: Float[Array, "blocks inputs outputs"]
    bias: Float[Array, " features"]

    def __init__(self, inputs: int, outputs: int, blocks: int, *, key: PRNGKeyArray, shared: int = 0):
        if inputs % blocks or outputs % blocks:
            raise ValueError(f"BlockLinear needs inputs {inputs} and outputs {outputs} divisible by {blocks} blocks.")
        width = inputs // blocks + shared
        self.weight = scaled_normal(key, (blocks, width, outputs // blocks), fan_in=blocks * width)
        self.bias = jnp.zeros((outputs,))

    def __call__(
        self, x: Float[Array, "*batch inputs"], shared: Float[Array, "*batch shared"] | None = None
    ) -> Float[Array, "*batch outputs"]:
        blocks, batch = self.weight.shape[0], x.shape[:-1]
        x = x.astype(self.weight.dtype).reshape((-1, blocks, x.shape[-1] // blocks))
        # Blocks first and outputs last, which is how the product is laid out in memory; it is then read along its rows.
        y = jnp.swapaxes(x, 0, 1) @ self.weight[:, : x.shape[-1]]
        y = jnp.swapaxes(y, 0, 1).reshape((*batch, -1))
        if shared is not None:
            y = y + shared @ jnp.moveaxis(self.weight[:, x.shape[-1] :], 0, 1).reshape((shared.shape[-1], -1))
        return y + align(self.bias, y)
