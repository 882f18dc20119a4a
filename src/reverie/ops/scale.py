"""The return scale (section 4): one entropy bonus for every task, because returns are brought to one size."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float


class ReturnScale(NamedTuple):
    """Moving averages of the 5th and 95th percentile of imagined returns, from 0, without bias correction."""

    low: Float[Array, ""]
    high: Float[Array, ""]

    @classmethod
    def initial(cls) -> "ReturnScale":
        return cls(jnp.zeros(()), jnp.zeros(()))

    def update(self, returns: Float[Array, "..."], *, rate: float, percentiles: tuple[float, float]) -> "ReturnScale":
        """Move by `rate` towards the percentiles of a batch of returns."""
        low, high = jnp.percentile(returns.astype(jnp.float32), jnp.asarray(percentiles))
        return ReturnScale(self.low + rate * (low - self.low), self.high + rate * (high - self.high))

    @property
    def divisor(self) -> Float[Array, ""]:
        """max(1, high - low): large returns are scaled down, small ones never amplified."""
        return jnp.maximum(1.0, self.high - self.low)
