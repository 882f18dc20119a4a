"""The return scale (section 4): returns are brought to one size, so that one entropy bonus fits every task."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class ReturnScale(NamedTuple):
    """Moving averages of the 5th and 95th percentile of imagined returns, starting at 0, without bias correction."""

    low: Float[Array, ""]
    high: Float[Array, ""]

    @classmethod
    def initial(cls) -> "ReturnScale":
        """Return the scale before the first update."""
        return cls(jnp.zeros(()), jnp.zeros(()))

    def update(self, returns: Float[Array, "..."], *, rate: float, percentiles: tuple[float, float]) -> "ReturnScale":
        """Return the scale moved by `rate` towards the percentiles of a batch of returns."""
        low, high = jnp.percentile(returns.astype(jnp.float32), jnp.asarray(percentiles))
        return ReturnScale(self.low + rate * (low - self.low), self.high + rate * (high - self.high))

    @property
    def divisor(self) -> Float[Array, ""]:
        """max(1, high - low), so that large returns are scaled down and small ones are never amplified."""
        return jnp.maximum(1.0, self.high - self.low)
