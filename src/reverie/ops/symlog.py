"""The symmetric logarithm (section 1), which squashes large numbers of either sign and is the identity near 0."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def symlog(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return sign(x) ln(1 + |x|), elementwise."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Return sign(x) (exp(|x|) - 1), elementwise; the inverse of `symlog`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))
