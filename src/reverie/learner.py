"""One gradient step over the whole agent (sections 3 to 5), pure: state and batch in, state and metrics out.

May import: `world_model`, `behaviour`, `optim` and what they stand on, `experience`, `config`.
"""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, PRNGKeyArray

from reverie.behaviour import Actor, Critic, Policy, Trajectory, imagination_loss, imagine, replay_value_loss
from reverie.config import Config, ModelConfig
from reverie.distributions import TwoHot
from reverie.experience import Experience
from reverie.nn import columns, compute_cast, tuned_for_cpu
from reverie.ops import ReturnScale
from reverie.optim import laprop
from reverie.spaces import Continuous, Discrete, Feature
from reverie.world_model import Latent, WorldModel, WorldModelOutput
from reverie.world_model import columns as model_columns


class Networks(eqx.Module):
    """Everything that the optimiser trains. Every leaf is a float32 array."""

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
        self.world_model = WorldModel(
            observations,
            actions,
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
        features = config.deter + config.groups * config.classes
        self.actor = Actor(features, config.units, actions, key=key_actor)
        self.critic = Critic(features, config.units, key=key_critic)

    @property
    def parameter_count(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self))


class LearnerState(NamedTuple):
    """All that an update changes."""

    networks: Networks
    slow_critic: Critic
    optimizer: optax.OptState
    return_scale: ReturnScale
    updates: Int[Array, ""]


class Latents(NamedTuple):
    """Fresh latents of the trained steps, for replay to keep."""

    deter: Float[Array, "b t deter"]
    stoch: Int[Array, "b t groups"]  # class indices


class Auxiliary(NamedTuple):
    """What the loss computes besides its value."""

    losses: dict[str, Array]  # per element, before scales: (B, T), `repval` (B, T - 1)
    latents: Latents
    return_scale: ReturnScale
    metrics: dict[str, Float[Array, ""]]
    world_model: WorldModelOutput


class Outlook(NamedTuple):
    """What all networks say about imagined states, time on the first axis, in the order that the loss takes them."""

    policy: Policy
    value: TwoHot
    slow_value: Float[Array, "steps starts"]
    reward: Float[Array, "steps starts"]
    live: Float[Array, "steps starts"]


class UpdateOutput(NamedTuple):
    metrics: dict[str, Float[Array, ""]]
    latents: Latents


class Learner:
    """The update, with its hyperparameters; holds no state of its own."""

    def __init__(
        self, observations: Mapping[str, Feature], actions: Mapping[str, Continuous | Discrete], config: Config
    ):
        self.observations, self.actions, self.config = dict(observations), dict(actions), config
        optimizer = config.optimizer
        self.optimizer = laprop(
            optimizer.learning_rate,
            warmup=optimizer.warmup,
            clip=optimizer.clip,
            clip_floor=optimizer.clip_floor,
            decay_rms=optimizer.decay_rms,
            decay_momentum=optimizer.decay_momentum,
            epsilon=optimizer.epsilon,
        )
        self.dtype = compute_dtype(config.model)

    def init(self, key: PRNGKeyArray) -> LearnerState:
        """Fresh networks; the slow critic starts as a copy of the critic."""
        networks = Networks(self.observations, self.actions, self.config.model, key=key)
        slow_critic = jax.tree.map(jnp.copy, networks.critic)
        return LearnerState(
            networks, slow_critic, self.optimizer.init(networks), ReturnScale.initial(), jnp.zeros((), jnp.int32)
        )

    def update(
        self, state: LearnerState, batch: Experience, key: PRNGKeyArray | None
    ) -> tuple[LearnerState, UpdateOutput]:
        """One step on a batch of T + 1 records, the first being context. Compile with the state donated."""
        return self.apply(state, *self.gradient(state, batch, key))

    def gradient(
        self, state: LearnerState, batch: Experience, key: PRNGKeyArray | None
    ) -> tuple[Networks, Float[Array, ""], Auxiliary]:
        """The gradient of the loss with respect to all networks, the loss, and what else it computed."""
        loss = jax.value_and_grad(self.loss, has_aux=True)
        (total, aux), gradient = loss(state.networks, state, batch, key)
        return gradient, total, aux

    def apply(
        self, state: LearnerState, gradient: Networks, total: Float[Array, ""], aux: Auxiliary
    ) -> tuple[LearnerState, UpdateOutput]:
        """The optimiser's step along a gradient; the slow critic follows."""
        step, optimizer = self.optimizer.update(gradient, state.optimizer, state.networks)
        networks = optax.apply_updates(state.networks, step)
        slow_critic = optax.incremental_update(networks.critic, state.slow_critic, self.config.behaviour.slow_rate)
        metrics = aux.metrics | {
            "opt/loss": total,
            "opt/grad_norm": jnp.linalg.norm(ravel_pytree(gradient)[0]),
            "opt/grad_rms": _rms(gradient),
            "opt/update_rms": _rms(step),
            "opt/param_rms": _rms(networks),
        }
        state = LearnerState(networks, slow_critic, optimizer, aux.return_scale, state.updates + 1)
        return state, UpdateOutput(metrics, aux.latents)

    def loss(
        self, networks: Networks, state: LearnerState, batch: Experience, key: PRNGKeyArray | None
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """The one loss: the weighted sum of the means of all terms. `state` gives the slow critic and the scale."""
        config = self.config.behaviour
        networks, slow_critic = compute_cast((networks, state.slow_critic), self.dtype)
        keys = (None, None) if key is None else jax.random.split(key)
        model = self._world_model_loss(networks.world_model, batch, keys[0])
        latent, trained = model.latent, jax.tree.map(lambda x: x[:, 1:], batch)
        features = latent.features

        trajectory = self._imagine(networks, slow_critic, latent, keys[1])
        outlook: Outlook = trajectory.seen
        behaviour = imagination_loss(
            trajectory.action,
            *outlook,
            state.return_scale,
            trace=config.trace,
            entropy_scale=config.entropy_scale,
            scale_rate=config.scale_rate,
            percentiles=config.percentiles,
        )
        shape = trained.is_first.shape
        time_first = lambda x: jnp.moveaxis(x, 1, 0)  # noqa: E731
        replayed = replay_value_loss(
            networks.critic(time_first(features)),
            slow_critic(jax.lax.stop_gradient(time_first(features))).prediction(),
            time_first(trained.reward),
            time_first(trained.is_last),
            time_first(trained.is_terminal),
            time_first(behaviour.returns[0].reshape(shape)),
            trace=config.trace,
            discount=config.discount,
        )
        losses = model.losses | {name: loss.reshape(shape) for name, loss in behaviour.losses.items()}
        losses["repval"] = time_first(replayed)
        total = sum((self._scale(name) * loss.mean() for name, loss in losses.items()), start=jnp.zeros(()))
        metrics = {
            **{f"loss/{name}": loss.mean() for name, loss in losses.items()},
            **behaviour.metrics,
            "dyn_ent": model.prior.entropy().sum(-1).mean(),
            "rep_ent": model.posterior.entropy().sum(-1).mean(),
        }
        latents = Latents(latent.deter, jnp.argmax(latent.stoch, axis=-1))
        return total, Auxiliary(losses, latents, behaviour.scale, metrics, model)

    def context(self, batch: Experience) -> Latent:
        """The stored latents of the record before the sequence, where the recurrence starts (section 5)."""
        return Latent(
            batch.deter[:, 0].astype(jnp.float32), jax.nn.one_hot(batch.stoch[:, 0], self.config.model.classes)
        )

    def _world_model_loss(self, model: WorldModel, batch: Experience, key: PRNGKeyArray | None) -> WorldModelOutput:
        now, before = jax.tree.map(lambda x: x[:, 1:], batch), jax.tree.map(lambda x: x[:, :-1], batch)
        return model.loss(
            self.context(batch),
            now.observation,
            before.action,
            now.reward,
            now.is_first,
            now.is_terminal,
            discount=self.config.behaviour.discount,
            free_nats=self.config.loss.free_nats,
            key=key,
        )

    def _imagine(self, networks: Networks, slow_critic: Critic, latent: Latent, key: PRNGKeyArray | None) -> Trajectory:
        """From every posterior state of the batch, with the outlook on each imagined state.

        States and actions are data: actor and critic have the gradient of their outlook alone.
        """
        stop = jax.lax.stop_gradient
        model, starts = stop(networks.world_model), jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), stop(latent))
        horizon = self.config.behaviour.imagination_length
        sample_keys, step_keys = (None, None) if key is None else tuple(jax.random.split(key, (2, horizon + 1)))
        if tuned_for_cpu():
            # Networks look at a state while it is in the cache. For the gradient, products are kept, and norms and
            # activations computed again: that is cheaper than to store them.
            look = jax.checkpoint(
                lambda state: _outlook_columns(networks, slow_critic, state.features),
                policy=jax.checkpoint_policies.dots_saveable,
            )
            return imagine(
                step=partial(model_columns.imagine, model),
                look=look,
                sample=lambda outlook, key: stop(outlook.policy).sample(key),
                start=model_columns.LatentColumns.of(starts),
                horizon=horizon,
                sample_noise=sample_keys,
                step_noise=model_columns.noise(model.rssm, step_keys, starts.deter.shape[0]),
            )
        actor = stop(networks.actor)
        trajectory = imagine(
            step=model.imagine,
            look=lambda latent: latent.features,
            sample=lambda features, key: actor(features).sample(key),
            start=starts,
            horizon=horizon,
            sample_noise=sample_keys,
            step_noise=step_keys,
        )
        return trajectory._replace(seen=_outlook(networks, slow_critic, trajectory.seen))

    def _scale(self, name: str) -> float:
        """The scale of a loss term; every decoded key has that of `observation`."""
        return self.config.loss.observation if name in self.observations else getattr(self.config.loss, name)


def _outlook(networks: Networks, slow_critic: Critic, features: Float[Array, "*batch features"]) -> Outlook:
    model = jax.lax.stop_gradient(networks.world_model)
    return Outlook(
        networks.actor(features),
        networks.critic(features),
        slow_critic(features).prediction(),
        model.reward_head(features).prediction(),
        model.continue_head(features).prediction(),
    )


def _outlook_columns(networks: Networks, slow_critic: Critic, features: Float[Array, "features n"]) -> Outlook:
    """The same of features in columns: the trunks that learn together, and those that are only asked together."""
    model = jax.lax.stop_gradient(networks.world_model)
    policy, value = columns.trunks([networks.actor.trunk, networks.critic.trunk], features)
    asked = [slow_critic.trunk, model.reward_head.trunk, model.continue_head.trunk]
    slow_value, reward, cont = columns.trunks(asked, features)
    return Outlook(
        networks.actor.columns(policy),
        networks.critic.columns(value),
        slow_critic.columns(slow_value).prediction(),
        model_columns.reward(model.reward_head, reward).prediction(),
        model_columns.cont(model.continue_head, cont).prediction(),
    )


def compute_dtype(config: ModelConfig) -> jnp.dtype:
    """The dtype of products: as configured, or by the default device."""
    if config.compute_dtype != "auto":
        return jnp.dtype(config.compute_dtype)
    return jnp.dtype(jnp.float32 if jax.default_backend() == "cpu" else jnp.bfloat16)


def _rms(tree: object) -> Float[Array, ""]:
    return jnp.sqrt(jnp.mean(jnp.square(ravel_pytree(tree)[0])))
