"""The reward and continue heads (section 3), which read the features of a latent."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.distributions import BINS, Bernoulli, TwoHot
from reverie.nn import Linear, Trunk


class RewardHead(eqx.Module):
    """One trunk layer and 255 two-hot logits, initialized to zero, so that the first prediction is exactly 0."""

    trunk: Trunk
    out: Linear

    def __init__(self, inputs: int, units: int, *, key: PRNGKeyArray):
        key_trunk, key_out = jax.random.split(key)
        self.trunk = Trunk(inputs, units, 1, key=key_trunk)
        self.out = Linear(units, len(BINS), scale=0.0, key=key_out)

    def __call__(self, features: Float[Array, "*batch features"]) -> TwoHot:
        return TwoHot(self.out(self.trunk(features)))


class ContinueHead(eqx.Module):
    """One trunk layer and one logit: the probability that the future counts, including the discount."""

    trunk: Trunk
    out: Linear

    def __init__(self, inputs: int, units: int, *, key: PRNGKeyArray):
        key_trunk, key_out = jax.random.split(key)
        self.trunk = Trunk(inputs, units, 1, key=key_trunk)
        self.out = Linear(units, 1, key=key_out)

    def __call__(self, features: Float[Array, "*batch features"]) -> Bernoulli:
        return Bernoulli(jnp.squeeze(self.out(self.trunk(features)), axis=-1))
