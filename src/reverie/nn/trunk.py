"""Trunks (section 2): the multilayer perceptrons that all networks except the convolutions are made of."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.nn.linear import Linear
from reverie.nn.norm import RMSNorm


class TrunkLayer(eqx.Module):
    """A linear layer, RMSNorm and SiLU."""

    linear: Linear
    norm: RMSNorm

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray):
        self.linear = Linear(inputs, outputs, key=key)
        self.norm = RMSNorm(outputs)

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        return self.finish(self.linear(x))

    def finish(self, pre: Float[Array, "*batch outputs"]) -> Float[Array, "*batch outputs"]:
        """Apply norm and activation to a linear output, bias included, that was computed elsewhere."""
        return jax.nn.silu(self.norm(pre))


class Trunk(eqx.Module):
    """A stack of `depth` trunk layers of the same width."""

    layers: tuple[TrunkLayer, ...]

    def __init__(self, inputs: int, units: int, depth: int, *, key: PRNGKeyArray):
        keys = jax.random.split(key, depth)
        self.layers = tuple(TrunkLayer(units if i else inputs, units, key=k) for i, k in enumerate(keys))

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch units"]:
        for layer in self.layers:
            x = layer(x)
        return x
