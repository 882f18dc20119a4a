"""The critic (section 4), which predicts the value of a state as a distribution over two-hot bins."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.distributions import BINS, TwoHot
from reverie.nn import Linear, Trunk


class Critic(eqx.Module):
    """Three trunk layers and 255 two-hot logits, initialized to zero, so that the first value is exactly 0."""

    trunk: Trunk
    out: Linear

    def __init__(self, inputs: int, units: int, *, key: PRNGKeyArray):
        key_trunk, key_out = jax.random.split(key)
        self.trunk = Trunk(inputs, units, 3, key=key_trunk)
        self.out = Linear(units, len(BINS), scale=0.0, key=key_out)

    def __call__(self, features: Float[Array, "*batch features"]) -> TwoHot:
        return TwoHot(self.out(self.trunk(features)))
