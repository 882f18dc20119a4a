"""One gradient step over the whole agent (sections 3 to 5), pure: state and batch in, state and metrics out."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from reverie.behaviour import Critic, replay_value_loss
from reverie.config import Config
from reverie.experience import Experience
from reverie.learner.imagined import learn_from_imagination
from reverie.learner.networks import Networks, compute_dtype
from reverie.nn import compiler_options, compute_cast
from reverie.ops import ReturnScale
from reverie.optim import laprop
from reverie.spaces import Continuous, Discrete, Feature
from reverie.world_model import Latent, WorldModel, WorldModelOutput


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


class UpdateOutput(NamedTuple):
    """What an update leaves besides the state."""

    metrics: dict[str, Float[Array, ""]]
    latents: Latents
    finite: Bool[Array, ""]  # whether loss and gradient were; if not, the state has stayed as it was


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

    def fresh(self, key: PRNGKeyArray) -> LearnerState:
        """`init`, compiled."""
        return jax.jit(self.init, compiler_options=compiler_options(once=True))(key)

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
        """The optimiser's step along a gradient; the slow critic follows. A step that is not finite is not taken."""
        step, optimizer = self.optimizer.update(gradient, state.optimizer, state.networks)
        networks = optax.apply_updates(state.networks, step)
        slow_critic = optax.incremental_update(networks.critic, state.slow_critic, self.config.behaviour.slow_rate)
        norm = jnp.linalg.norm(ravel_pytree(gradient)[0])
        finite = jnp.isfinite(total) & jnp.isfinite(norm)
        metrics = aux.metrics | {
            "opt/loss": total,
            "opt/grad_norm": norm,
            "opt/grad_rms": _rms(gradient),
            "opt/update_rms": _rms(step),
            "opt/param_rms": _rms(networks),
        }
        moved = LearnerState(networks, slow_critic, optimizer, aux.return_scale, state.updates)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
        return state._replace(updates=state.updates + 1), UpdateOutput(metrics, aux.latents, finite)

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

        starts = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), latent)
        imagined, targets = learn_from_imagination(networks, slow_critic, starts, state.return_scale, keys[1], config)
        shape = trained.is_first.shape
        time_first = lambda x: jnp.moveaxis(x, 1, 0)  # noqa: E731
        replayed = replay_value_loss(
            networks.critic(time_first(features)),
            slow_critic(jax.lax.stop_gradient(time_first(features))).prediction(),
            time_first(trained.reward),
            time_first(trained.is_last),
            time_first(trained.is_terminal),
            time_first(targets.steps.returns[0].reshape(shape)),
            trace=config.trace,
            discount=config.discount,
        )
        losses = model.losses | {name: loss.mean(0).reshape(shape) for name, loss in imagined.losses.items()}
        losses["repval"] = time_first(replayed)
        total = sum((self._scale(name) * loss.mean() for name, loss in losses.items()), start=jnp.zeros(()))
        metrics = {
            **{f"loss/{name}": loss.mean() for name, loss in losses.items()},
            **targets.metrics,
            **self._entropies(imagined.entropies),
            "dyn_ent": model.prior.entropy().sum(-1).mean(),
            "rep_ent": model.posterior.entropy().sum(-1).mean(),
        }
        latents = Latents(latent.deter, jnp.argmax(latent.stoch, axis=-1))
        return total, Auxiliary(losses, latents, targets.scale, metrics, model)

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

    def _entropies(self, entropies: Mapping[str, Array]) -> dict[str, Float[Array, ""]]:
        """The policy's, in nats, and of discrete actions also as a share of the largest possible."""
        metrics = {f"ent/{name}": entropy.mean() for name, entropy in entropies.items()}
        for name, feature in self.actions.items():
            if isinstance(feature, Discrete) and feature.max_entropy:
                metrics[f"rand/{name}"] = metrics[f"ent/{name}"] / feature.max_entropy
        return metrics

    def _scale(self, name: str) -> float:
        """The scale of a loss term; every decoded key has that of `observation`."""
        return self.config.loss.observation if name in self.observations else getattr(self.config.loss, name)


def _rms(tree: object) -> Float[Array, ""]:
    return jnp.sqrt(jnp.mean(jnp.square(ravel_pytree(tree)[0])))
