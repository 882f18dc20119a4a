"""Linear layer (section 2)."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.nn.align import align
from reverie.nn.init import scaled_normal


class Linear(eqx.Module):
    """y = x W + b over the last axis; W is (in, out)."""

    weight: Float[Array, "inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray, scale: float = 1.0):
        self.weight = scaled_normal(key, (inputs, outputs), fan_in=inputs, scale=scale)
        self.bias = jnp.zeros((outputs,))

    def __call__(self, x: Float[Array, "*batch inputs"]) -> Float[Array, "*batch outputs"]:
        y = x.astype(self.weight.dtype) @ self.weight
        return y + align(self.bias, y)

    def share(self, x: Float[Array, "*batch part"], start: int) -> Float[Array, "*batch outputs"]:
        """What the inputs `start … start + part` contribute to y, without the bias.

        The shares of all parts of a concatenated input add up to the product. A recurrence uses this to
        compute, for all steps at once and outside of the loop, whatever does not depend on the step before.
        """
        return x.astype(self.weight.dtype) @ self.weight[start : start + x.shape[-1]]
