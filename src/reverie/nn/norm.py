"""Root-mean-square normalization (section 2)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reverie.nn.align import align

EPSILON = 1e-4


class RMSNorm(eqx.Module):
    """The map x · rsqrt(mean(x²) + 1e-4) · scale over the last axis, computed in float32."""

    scale: Float[Array, " features"]

    def __init__(self, features: int):
        self.scale = jnp.ones((features,))

    def __call__(self, x: Float[Array, "*batch features"]) -> Float[Array, "*batch features"]:
        wide = x.astype(jnp.float32)
        inverse = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + EPSILON)
        return (wide * inverse * align(self.scale.astype(jnp.float32), wide)).astype(x.dtype)
