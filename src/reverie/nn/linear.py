"""The linear layer (section 2)."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.nn.align import align
from reverie.nn.init import scaled_normal


class Linear(eqx.Module):
    """A map y = x W + b over the last axis; W has shape (in, out)."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray, scale: float = 1.0):
        self.weight = scaled_normal(key, (inputs, outputs), fan_in=inputs, scale=scale)
        self.bias = jnp.zeros((outputs,))

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        y = x.astype(self.weight.dtype) @ self.weight
        return y + align(self.bias, y)

    def partial(self, x: Float[Array, "*batch part"], start: int) -> Float[Array, "*batch outputs"]:
        """Return what the inputs `start … start + part` contribute to y, without the bias.

        The shares of all parts of a concatenated input add up to x W. A recurrence uses this to compute the parts
        that do not depend on the previous step for all steps at once, outside the loop.
        """
        return x.astype(self.weight.dtype) @ self.weight[start : start + x.shape[-1]]
