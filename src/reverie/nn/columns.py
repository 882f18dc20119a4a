"""The same layers on feature-major arrays (features, N): one column per example, y = Wᵀ x.

On a CPU this is about twice as fast inside a recurrence: splitting features into blocks and gates is free, and norms
reduce over the outer axis, so that the inner loop runs along N. Accelerators prefer the textbook layout, rows. Each
function takes a layer of this package and applies its parameters; nothing has parameters of its own.

May import: the layers beside it.
"""

from collections.abc import Sequence
from itertools import accumulate

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reverie.nn.block_linear import BlockLinear
from reverie.nn.linear import Linear
from reverie.nn.norm import EPSILON, RMSNorm
from reverie.nn.trunk import Trunk, TrunkLayer


def linear(layer: Linear, x: Float[Array, "inputs n"]) -> Float[Array, "outputs n"]:
    """Wᵀ x + b."""
    return layer.weight.T @ x.astype(layer.weight.dtype) + layer.bias[:, None]


def block_linear(
    layer: BlockLinear, x: Float[Array, "inputs n"], shared: Float[Array, "shared n"] | None = None
) -> Float[Array, "outputs n"]:
    """Every block's own slice of x, and all of `shared`, as `BlockLinear` does it."""
    own, dense = split(layer, x.shape[0])
    x = x.astype(own.dtype).reshape((own.shape[0], -1, x.shape[-1]))
    # The weight comes first in the product, so that its result is (blocks, width, N) as it falls.
    y = (own @ x).reshape((-1, x.shape[-1]))
    if shared is not None:
        y = y + dense @ shared
    return y + layer.bias[:, None]


def split(layer: BlockLinear, inputs: int) -> tuple[Float[Array, "blocks width own"], Float[Array, "outputs shared"]]:
    """The weights of a block layer with so many inputs in blocks: for each block's slice, and for what all share."""
    own = layer.weight[:, : inputs // layer.weight.shape[0]]
    dense = layer.weight[:, own.shape[1] :]
    return jnp.swapaxes(own, 1, 2), jnp.moveaxis(dense, 0, 1).reshape((dense.shape[1], layer.bias.shape[0])).T


def rms_norm(layer: RMSNorm, x: Float[Array, "features n"]) -> Float[Array, "features n"]:
    """RMSNorm of each column, in float32."""
    wide = x.astype(jnp.float32)
    inverse = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=0, keepdims=True) + EPSILON)
    return (wide * inverse * layer.scale.astype(jnp.float32)[:, None]).astype(x.dtype)


def finish(layer: RMSNorm, pre: Float[Array, "features n"]) -> Float[Array, "features n"]:
    """RMSNorm and SiLU of a linear output that was computed elsewhere."""
    return jax.nn.silu(rms_norm(layer, pre))


def trunk_layer(layer: TrunkLayer, x: Float[Array, "inputs n"]) -> Float[Array, "outputs n"]:
    """Linear, RMSNorm, SiLU."""
    return finish(layer.norm, linear(layer.linear, x))


def trunks(trunks: Sequence[Trunk], x: Float[Array, "inputs n"]) -> list[Float[Array, "units n"]]:
    """Several trunks on one input, which their first layers read together: one tall product instead of flat ones."""
    first = [trunk.layers[0] for trunk in trunks]
    weight = jnp.concatenate([layer.linear.weight for layer in first], axis=1)
    bias = jnp.concatenate([layer.linear.bias for layer in first])
    y = weight.T @ x.astype(weight.dtype) + bias[:, None]
    ends = list(accumulate(layer.linear.bias.shape[0] for layer in first))
    outputs = []
    for trunk, part in zip(trunks, jnp.split(y, ends[:-1]), strict=True):
        part = finish(trunk.layers[0].norm, part)
        for layer in trunk.layers[1:]:
            part = trunk_layer(layer, part)
        outputs.append(part)
    return outputs


def trunk(trunk: Trunk, x: Float[Array, "inputs n"]) -> Float[Array, "units n"]:
    """All layers in turn."""
    for layer in trunk.layers:
        x = trunk_layer(layer, x)
    return x
