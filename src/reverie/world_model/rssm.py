"""The recurrent state-space model (section 3): a deterministic memory and a categorical guess of what is seen."""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from reverie.distributions import Categorical, Key
from reverie.nn import BlockLinear, Linear, RMSNorm, Trunk, TrunkLayer


class Latent(NamedTuple):
    """The model's state: `deter` (..., D) and `stoch` (..., S, K), one one-hot vector per group."""

    deter: Float[Array, "*batch deter"]
    stoch: Float[Array, "*batch groups classes"]

    @property
    def flat_stoch(self) -> Float[Array, "*batch stoch"]:
        """`stoch` with its groups and classes in one axis, (..., S · K)."""
        return self.stoch.reshape((*self.stoch.shape[:-2], -1))

    @property
    def features(self) -> Float[Array, "*batch features"]:
        """concat(deter, flatten(stoch)), the input of heads, actor and critic."""
        return jnp.concatenate([self.deter, self.flat_stoch.astype(self.deter.dtype)], axis=-1)


class RSSM(eqx.Module):
    """The sequence model, the prior and the posterior.

    h  = next_deter(latent, action)    one step of the paper's sequence model
    ẑ ~ prior(h)                       what the model expects to see
    z ~ posterior(h, embedding)        what it believes after seeing the embedded observation
    """

    deter_in: TrunkLayer
    stoch_in: TrunkLayer
    action_in: TrunkLayer
    hidden: BlockLinear
    hidden_norm: RMSNorm
    gates: BlockLinear
    prior_trunk: Trunk
    prior_out: Linear
    posterior_trunk: TrunkLayer
    posterior_out: Linear
    deter: int = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    classes: int = eqx.field(static=True)
    unimix: float = eqx.field(static=True)

    def __init__(
        self,
        *,
        deter: int,
        hidden: int,
        groups: int,
        classes: int,
        blocks: int,
        actions: int,
        embedding: int,
        unimix: float,
        key: PRNGKeyArray,
    ):
        keys = jax.random.split(key, 9)
        stoch = groups * classes
        self.deter, self.groups, self.classes, self.unimix = deter, groups, classes, unimix
        self.deter_in = TrunkLayer(deter, hidden, key=keys[0])
        self.stoch_in = TrunkLayer(stoch, hidden, key=keys[1])
        self.action_in = TrunkLayer(actions, hidden, key=keys[2])
        self.hidden = BlockLinear(deter, deter, blocks, shared=3 * hidden, key=keys[3])
        self.hidden_norm = RMSNorm(deter)
        self.gates = BlockLinear(deter, 3 * deter, blocks, key=keys[4])
        self.prior_trunk = Trunk(deter, hidden, 2, key=keys[5])
        self.prior_out = Linear(hidden, stoch, key=keys[6])
        self.posterior_trunk = TrunkLayer(deter + embedding, hidden, key=keys[7])
        self.posterior_out = Linear(hidden, stoch, key=keys[8])

    def initial(self, batch: tuple[int, ...]) -> Latent:
        """Return zeros of shape (*batch, …), the state before anything was seen."""
        return Latent(jnp.zeros((*batch, self.deter)), jnp.zeros((*batch, self.groups, self.classes)))

    def prior(self, deter: Float[Array, "*batch deter"]) -> Categorical:
        """Return what the model expects to see, from its memory alone."""
        return self.categorical(self.prior_out(self.prior_trunk(deter)))

    def posterior(
        self, deter: Float[Array, "*batch deter"], embedding: Float[Array, "*batch embedding"]
    ) -> Categorical:
        """Return what the model believes after seeing the embedded observation."""
        return self._posterior(deter, self._embedding_part(embedding))

    def next_deter(self, latent: Latent, action: Float[Array, "*batch actions"]) -> Float[Array, "*batch deter"]:
        """Return the next deter, from the previous state and the action taken in it."""
        return self._sequence(latent, self.action_in(action))

    def imagine(self, latent: Latent, action: Float[Array, "*batch actions"], key: Key) -> Latent:
        """Take a step without an observation: the next state, with stoch drawn from the prior."""
        deter = self.next_deter(latent, action)
        prior = self.prior(deter)
        return Latent(deter, prior.straight_through(prior.sample(key)).astype(deter.dtype))

    def observe(
        self,
        latent: Latent,
        embedding: Float[Array, "b t embedding"],
        action: Float[Array, "b t actions"],
        is_first: Bool[Array, "b t"],
        key: PRNGKeyArray | None,
    ) -> tuple[Latent, Float[Array, "b t groups classes"]]:
        """Filter a sequence of observations; return the posterior states (B, T, …) and their logits.

        `latent` is the state before the first step, and `action[:, t]` was taken before `embedding[:, t]`. Where
        `is_first`, state and action are set to zero before the step. Everything that does not depend on the previous
        state is computed for all T at once, outside the recurrence.
        """
        keep = ~is_first
        actions = self.action_in(action * keep[..., None])
        shares = self._embedding_part(embedding)
        # Random numbers (T, B, S) for all steps at once: inside the recurrence, every key would be a small loop.
        noise = None if key is None else jax.random.uniform(key, (*is_first.shape[::-1], self.groups))

        def step(latent: Latent, inputs: tuple[Any, ...]) -> tuple[Latent, tuple[Latent, Array]]:
            action, share, keep, uniform = inputs
            # An episode that begins here forgets what came before.
            latent = Latent(latent.deter * keep[:, None], latent.stoch * keep[:, None, None])
            deter = self._sequence(latent, action)
            posterior = self._posterior(deter, share)
            sample = posterior.mode() if uniform is None else posterior.pick(uniform)
            latent = Latent(deter, posterior.straight_through(sample).astype(deter.dtype))
            return latent, (latent, posterior.logits)

        dtype = self.gates.weight.dtype
        latent = Latent(latent.deter.astype(dtype), latent.stoch.astype(dtype))
        inputs = (*(jnp.moveaxis(x, 1, 0) for x in (actions, shares, keep.astype(dtype))), noise)
        _, outputs = jax.lax.scan(step, latent, inputs)
        return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), outputs)

    def _sequence(self, latent: Latent, action_features: Float[Array, "*batch hidden"]) -> Array:
        inputs = [self.deter_in(latent.deter), self.stoch_in(latent.flat_stoch), action_features]
        hidden = self.hidden(latent.deter, shared=jnp.concatenate(inputs, axis=-1))
        gates = self.gates(jax.nn.silu(self.hidden_norm(hidden)))
        gates = gates.reshape((*gates.shape[:-1], self.gates.weight.shape[0], 3, -1))  # (…, G, 3, D/G)
        reset, candidate, update = (gates[..., i, :] for i in range(3))  # each (…, G, D/G)
        candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
        update = jax.nn.sigmoid(update - 1)  # the bias of -1 keeps most of the old state at first
        deter = latent.deter.astype(gates.dtype)
        return (update * candidate + (1 - update) * deter.reshape(update.shape)).reshape(deter.shape)

    def _embedding_part(self, embedding: Float[Array, "*batch embedding"]) -> Array:
        """Return the part of the posterior's first layer that depends on the observation alone."""
        return self.posterior_trunk.linear.partial(embedding, start=self.deter)

    def _posterior(self, deter: Array, embedding_part: Array) -> Categorical:
        linear = self.posterior_trunk.linear
        pre = embedding_part + linear.partial(deter, start=0)
        pre = pre + linear.bias.reshape((1,) * (pre.ndim - 1) + (-1,))
        return self.categorical(self.posterior_out(self.posterior_trunk.finish(pre)))

    def categorical(self, logits: Float[Array, "*batch stoch"]) -> Categorical:
        """Return the distribution over stoch that S · K logits parameterize."""
        return Categorical(logits.reshape((*logits.shape[:-1], self.groups, self.classes)), self.unimix)


@runtime_checkable
class Observe(Protocol):
    """The signature of `RSSM.observe`, of which `reverie.tuned` has faster versions."""

    def __call__(
        self,
        rssm: RSSM,
        latent: Latent,
        embedding: Float[Array, "b t embedding"],
        action: Float[Array, "b t actions"],
        is_first: Bool[Array, "b t"],
        key: PRNGKeyArray | None,
        /,
    ) -> tuple[Latent, Float[Array, "b t groups classes"]]: ...
