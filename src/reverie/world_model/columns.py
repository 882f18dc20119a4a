"""Imagination in columns (features, N): what `RSSM.imagine` and the heads compute, in the layout that a CPU likes.

The state stays in this layout through a whole rollout: the deterministic part is never transposed. The same keys give
the same samples as the textbook form in `rssm.py`, and tests hold the two together. There are no gradients of the
samples here: imagined states are data to everyone who learns from them.

May import: `nn`, `distributions` and the world model beside it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from reverie.distributions import Bernoulli, Categorical, TwoHot
from reverie.nn import columns
from reverie.world_model.heads import ContinueHead, RewardHead
from reverie.world_model.model import WorldModel
from reverie.world_model.rssm import RSSM, Latent


class LatentColumns(NamedTuple):
    """A batch of latents, one per column: `deter` (D, N) and the flattened `stoch` (S · K, N)."""

    deter: Float[Array, "deter n"]
    stoch: Float[Array, "stoch n"]

    @classmethod
    def of(cls, latent: Latent) -> "LatentColumns":
        """The columns of latents with one batch axis."""
        return cls(latent.deter.T, latent.flat_stoch.T.astype(latent.deter.dtype))

    @property
    def features(self) -> Float[Array, "features n"]:
        """What heads, actor and critic see."""
        return jnp.concatenate([self.deter, self.stoch], axis=0)


def noise(rssm: RSSM, keys: Key[Array, " steps"] | None, starts: int) -> Float[Array, "steps groups n"] | None:
    """What `imagine` draws with, for all steps at once: the numbers that rows would draw, each step from its key."""
    if keys is None:
        return None
    uniform = jax.vmap(lambda key: jax.random.uniform(key, (starts, rssm.groups)))(keys)
    return jnp.swapaxes(uniform, 1, 2)


def imagine(
    model: WorldModel, state: LatentColumns, action: Mapping[str, Array], uniform: Float[Array, "groups n"] | None
) -> LatentColumns:
    """One step with an action (N, …) but without an observation: the next state, its stoch drawn from the prior."""
    rssm = model.rssm
    deter = _sequence(rssm, state, model.encode_actions(action))
    logits = columns.linear(rssm.prior_out, columns.trunk(rssm.prior_trunk, deter))
    prior = Categorical(logits.reshape((rssm.groups, rssm.classes, -1)), rssm.unimix, axis=1)
    sample = prior.mode() if uniform is None else prior.pick(uniform)
    return LatentColumns(deter, jax.nn.one_hot(sample, rssm.classes, axis=1, dtype=deter.dtype).reshape(logits.shape))


def reward(head: RewardHead, x: Float[Array, "units n"]) -> TwoHot:
    """The reward head, from its trunk's output in columns."""
    return TwoHot(columns.linear(head.out, x), axis=-2)


def cont(head: ContinueHead, x: Float[Array, "units n"]) -> Bernoulli:
    """The continue head, from its trunk's output in columns."""
    return Bernoulli(columns.linear(head.out, x)[0])


def _sequence(rssm: RSSM, state: LatentColumns, action: Float[Array, "n actions"]) -> Float[Array, "deter n"]:
    inputs = [
        columns.trunk_layer(rssm.deter_in, state.deter),
        columns.trunk_layer(rssm.stoch_in, state.stoch),
        columns.trunk_layer(rssm.action_in, action.T),
    ]
    hidden = columns.block_linear(rssm.hidden, state.deter, shared=jnp.concatenate(inputs, axis=0))
    gates = columns.block_linear(rssm.gates, jax.nn.silu(columns.rms_norm(rssm.hidden_norm, hidden)))
    # Per block, the rows are reset, candidate and update: slices, where rows of features would be copied.
    split = gates.reshape((rssm.gates.weight.shape[0], 3, -1, gates.shape[-1]))
    reset, candidate, update = (split[:, i].reshape(state.deter.shape) for i in range(3))
    candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
    update = jax.nn.sigmoid(update - 1)
    return update * candidate + (1 - update) * state.deter.astype(gates.dtype)
