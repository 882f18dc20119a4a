"""The networks that the optimizer trains, as one pytree."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from reverie.behaviour import Actor, Critic
from reverie.config import ModelConfig
from reverie.devices import best_dtype
from reverie.spaces import Continuous, Discrete, Feature, masks, matching
from reverie.world_model import WorldModel, chosen_decoders, chosen_encoders


class Networks(eqx.Module):
    """The world model, the actor and the critic. Every leaf is a float32 array."""

    world_model: WorldModel
    actor: Actor
    critic: Critic

    def __init__(
        self,
        observations: Mapping[str, Feature],
        actions: Mapping[str, Continuous | Discrete],
        config: ModelConfig,
        *,
        key: PRNGKeyArray,
    ):
        key_model, key_actor, key_critic = jax.random.split(key, 3)
        always = masks(actions).values()  # acting needs the mask, and imagination its prediction
        encoded = matching(observations, "model.encoder_keys", config.encoder_keys, always)
        decoded = matching(observations, "model.decoder_keys", config.decoder_keys, always)
        self.world_model = WorldModel(
            encoded,
            decoded,
            actions,
            encoders=chosen_encoders(config.encoders, encoded),
            decoders=chosen_decoders(config.decoders, decoded),
            deter=config.deter,
            hidden=config.hidden,
            groups=config.groups,
            classes=config.classes,
            blocks=config.blocks,
            units=config.units,
            depth=config.depth,
            unimix=config.unimix,
            key=key_model,
        )
        width = config.deter + config.groups * config.classes  # of a latent's features
        self.actor = Actor(width, config.units, actions, key=key_actor)
        self.critic = Critic(width, config.units, key=key_critic)

    @property
    def parameter_count(self) -> int:
        """The number of trained parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self))


def compute_dtype(config: ModelConfig) -> jnp.dtype:
    """Return the dtype of matrix products: the configured one, or for `auto` the best of the default device."""
    if config.compute_dtype != "auto":
        return jnp.dtype(config.compute_dtype)
    return jnp.dtype(best_dtype(jax.devices()[0]))
