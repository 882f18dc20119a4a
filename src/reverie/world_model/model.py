"""The world model and its losses (section 3)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from reverie.distributions import Bernoulli, Categorical, Key, Output, TwoHot
from reverie.spaces import Continuous, Discrete, Feature, masks
from reverie.world_model.custom import DecoderFactory, EncoderFactory
from reverie.world_model.decoder import Decoder
from reverie.world_model.encoder import Encoder
from reverie.world_model.heads import ContinueHead, RewardHead
from reverie.world_model.inputs import encode_actions, flat_size
from reverie.world_model.rssm import RSSM, Latent, Observe


class WorldModelOutput(NamedTuple):
    """The results of the loss pass."""

    losses: dict[str, Float[Array, "b t"]]  # per element, before scales; `observation/KEY` for each decoded key
    latent: Latent  # the posterior states, (B, T, …), with gradient
    embedding: Float[Array, "b t embedding"]
    posterior: Categorical
    prior: Categorical
    decoded: dict[str, Output]


class WorldModel(eqx.Module):
    """The encoder, the RSSM, the decoder, and the reward and continue heads.

    Everything is public: `encoder(observation)`, `rssm.observe`, `imagine`, `decode`, `allowed`, `reward`, `cont`.

    The `encoded` observations are the model's input, the `decoded` ones its targets. They are usually the same; an
    observation that is only decoded shapes the latent without being needed for acting.
    """

    encoder: Encoder
    rssm: RSSM
    decoder: Decoder
    reward_head: RewardHead
    continue_head: ContinueHead
    actions: tuple[tuple[str, Continuous | Discrete], ...] = eqx.field(static=True)

    def __init__(
        self,
        encoded: Mapping[str, Feature],
        decoded: Mapping[str, Feature],
        actions: Mapping[str, Continuous | Discrete],
        *,
        deter: int,
        hidden: int,
        groups: int,
        classes: int,
        blocks: int,
        units: int,
        depth: int,
        unimix: float,
        key: PRNGKeyArray,
        encoders: Mapping[str, EncoderFactory] = MappingProxyType({}),
        decoders: Mapping[str, DecoderFactory] = MappingProxyType({}),
    ):
        keys = jax.random.split(key, 5)
        stoch = groups * classes
        self.actions = tuple(sorted(actions.items()))
        self.encoder = Encoder(encoded, units=units, depth=depth, key=keys[0], custom=encoders)
        self.rssm = RSSM(
            deter=deter,
            hidden=hidden,
            groups=groups,
            classes=classes,
            blocks=blocks,
            actions=sum(flat_size(feature) for feature in actions.values()),
            embedding=self.encoder.size,
            unimix=unimix,
            key=keys[1],
        )
        self.decoder = Decoder(
            decoded,
            deter=deter,
            stoch=stoch,
            blocks=blocks,
            units=units,
            depth=depth,
            key=keys[2],
            custom=decoders,
        )
        self.reward_head = RewardHead(deter + stoch, units, key=keys[3])
        self.continue_head = ContinueHead(deter + stoch, units, key=keys[4])

    def encode_actions(self, action: Mapping[str, Array]) -> Float[Array, "*batch actions"]:
        """Return the actions of all keys as the one vector that the recurrence reads."""
        return encode_actions(action, dict(self.actions))

    def initial(self, batch: tuple[int, ...]) -> Latent:
        """Return zeros of shape (*batch, …), the state before anything was seen."""
        return self.rssm.initial(batch)

    def observe(
        self,
        latent: Latent,
        observation: Mapping[str, Array],
        previous_action: Mapping[str, Array],
        is_first: Bool[Array, "b t"],
        key: Key = None,
    ) -> Latent:
        """Return the posterior states of a sequence with leading axes (B, T), starting from `latent` (B, …)."""
        action = self.encode_actions(previous_action)
        return self.rssm.observe(latent, self.encoder(observation), action, is_first, key)[0]

    def imagine(self, latent: Latent, action: Mapping[str, Array], key: Key = None) -> Latent:
        """Take one step from `latent` (*batch, …) with an action, without an observation."""
        return self.rssm.imagine(latent, self.encode_actions(action), key)

    def decode(self, latent: Latent) -> dict[str, Output]:
        """Return one output per decoded key; `.prediction()` gives images in [0, 1] and vectors in symlog space."""
        return self.decoder(latent.deter, latent.flat_stoch)

    def allowed(self, latent: Latent) -> dict[str, Bool[Array, "*batch classes"]]:
        """Predict which classes of each masked action are allowed in a state: all if none; empty without a mask."""
        return {
            action: _some(self.decoder.one(mask, latent.deter, latent.flat_stoch).prediction() == 1)
            for action, mask in masks(dict(self.actions)).items()
        }

    def allowed_by(self, observation: Mapping[str, Array]) -> dict[str, Bool[Array, "*batch classes"]]:
        """Return which classes of each masked action an observation allows: all if none; empty without a mask."""
        return {action: _some(observation[mask] == 1) for action, mask in masks(dict(self.actions)).items()}

    def reward(self, latent: Latent) -> TwoHot:
        """Return the distribution of the reward received on arriving in this state; `.prediction()` is its mean."""
        return self.reward_head(latent.features)

    def cont(self, latent: Latent) -> Bernoulli:
        """Return the distribution of continuing after this state, discount included; `.prediction()` is its mean."""
        return self.continue_head(latent.features)

    def loss(
        self,
        latent: Latent,
        observation: Mapping[str, Array],
        previous_action: Mapping[str, Array],
        reward: Float[Array, "b t"],
        is_first: Bool[Array, "b t"],
        is_terminal: Bool[Array, "b t"],
        *,
        discount: float,
        free_nats: float,
        key: PRNGKeyArray | None,
        observe: Observe = RSSM.observe,
    ) -> WorldModelOutput:
        """Compute the loss terms, each (B, T), before their scales (section 3):

            observation/KEY  the reconstruction of an observation
            rew   two-hot cross-entropy of the reward
            con   binary cross-entropy of (1 - is_terminal) · discount
            dyn   max(free_nats, KL(sg(posterior) ‖ prior))
            rep   max(free_nats, KL(posterior ‖ sg(prior)))

        `observe` is `RSSM.observe` or a function that computes the same.
        """
        embedding = self.encoder(observation)
        action = self.encode_actions(previous_action)
        states, logits = observe(self.rssm, latent, embedding, action, is_first, key)
        posterior, prior = Categorical(logits, self.rssm.unimix), self.rssm.prior(states.deter)
        decoded = self.decode(states)
        continues = (1 - is_terminal.astype(jnp.float32)) * discount
        losses = {f"observation/{key}": output.loss(observation[key]) for key, output in decoded.items()}
        losses["rew"] = self.reward(states).loss(reward)
        losses["con"] = self.cont(states).loss(continues)
        losses["dyn"] = clipped_divergence(_frozen(posterior), prior, free_nats)
        losses["rep"] = clipped_divergence(posterior, _frozen(prior), free_nats)
        return WorldModelOutput(losses, states, embedding, posterior, prior, decoded)


def _some(allowed: Bool[Array, "*batch classes"]) -> Bool[Array, "*batch classes"]:
    """Allow every class where none is allowed, as at the end of an episode."""
    return allowed | ~jnp.any(allowed, axis=-1, keepdims=True)


def clipped_divergence(first: Categorical, second: Categorical, free_nats: float) -> Float[Array, "*batch"]:
    """Return max(free_nats, Σ_groups KL(first ‖ second)); below the free nats there is no gradient."""
    return jnp.maximum(free_nats, first.divergence(second).sum(-1))


def _frozen(distribution: Categorical) -> Categorical:
    return Categorical(jax.lax.stop_gradient(distribution.logits), distribution.unimix)
