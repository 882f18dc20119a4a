"""The initializer of all weights (section 2)."""

import jax
from jaxtyping import Array, Float, PRNGKeyArray

# A normal truncated at ±2 has this share of the untruncated standard deviation; dividing restores unit variance.
TRUNCATED_STD = 0.87962566103423978


def scaled_normal(key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int, scale: float = 1.0) -> Float[Array, "..."]:
    """Draw from a normal truncated at ±2, times `scale / (0.8796 √fan_in)`; 1 / 0.8796 is the 1.1368 of section 2."""
    return jax.random.truncated_normal(key, -2.0, 2.0, shape) * (scale / TRUNCATED_STD / fan_in**0.5)
