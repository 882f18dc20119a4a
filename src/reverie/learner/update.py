"""One gradient step on the whole agent (sections 3 to 5), as a pure function of state, batch and key."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, Shaped

from reverie.behaviour import Critic, replay_value_loss
from reverie.compiling import compiler_options
from reverie.config import Config
from reverie.experience import Experience
from reverie.learner.forms import TEXTBOOK, Forms
from reverie.learner.imagined import learn_from_imagination
from reverie.learner.networks import Networks, compute_dtype
from reverie.nn import compute_cast
from reverie.ops import ReturnScale, means
from reverie.optim import laprop
from reverie.spaces import Continuous, Discrete, Feature
from reverie.world_model import Latent, WorldModelOutput


class LearnerState(NamedTuple):
    """Everything that an update changes."""

    networks: Networks
    slow_critic: Critic
    optimizer: optax.OptState
    return_scale: ReturnScale
    updates: Int[Array, ""]


class StoredLatents(NamedTuple):
    """What the replay buffer stores of the trained steps' latents: deter, and stoch as class indices."""

    deter: Float[Array, "b t deter"]
    stoch: Int[Array, "b t groups"]  # class indices


class Auxiliary(NamedTuple):
    """The results of the loss besides its value."""

    losses: dict[str, Array]  # per element, before scales: (B, T), `repval` (B, T - 1)
    latents: StoredLatents
    return_scale: ReturnScale
    metrics: dict[str, Float[Array, ""]]
    world_model: WorldModelOutput


class UpdateOutput(NamedTuple):
    """The results of an update besides the state."""

    metrics: Mapping[str, Float[Array, ""]]
    latents: StoredLatents
    finite: Bool[Array, ""]  # whether loss and gradient were finite; if not, the update was skipped


class Learner:
    """The update with its hyperparameters. It holds no state: everything that changes is in `LearnerState`."""

    def __init__(
        self,
        observations: Mapping[str, Feature],
        actions: Mapping[str, Continuous | Discrete],
        config: Config,
        forms: Forms = TEXTBOOK,
    ):
        """Set up the update for some spaces; `forms` are the functions that compute its two recurrences."""
        self.observations, self.actions, self.config, self.forms = dict(observations), dict(actions), config, forms
        settings = config.optimizer
        self.optimizer = laprop(
            settings.learning_rate,
            warmup=settings.warmup,
            clip=settings.clip,
            clip_floor=settings.clip_floor,
            decay_rms=settings.decay_rms,
            decay_momentum=settings.decay_momentum,
            epsilon=settings.epsilon,
        )
        self.dtype = compute_dtype(config.model)

    def init(self, key: PRNGKeyArray) -> LearnerState:
        """Return the state before the first update; the slow critic starts as a copy of the critic."""
        networks = Networks(self.observations, self.actions, self.config.model, key=key)
        slow_critic = jax.tree.map(jnp.copy, networks.critic)
        return LearnerState(
            networks, slow_critic, self.optimizer.init(networks), ReturnScale.initial(), jnp.zeros((), jnp.int32)
        )

    def fresh(self, key: PRNGKeyArray) -> LearnerState:
        """Compile and run `init`."""
        return jax.jit(self.init, compiler_options=compiler_options(once=True))(key)

    def context(self, batch: Experience) -> Latent:
        """Return the stored latents of the record before each sequence, where the recurrence starts (section 5)."""
        return Latent(
            batch.deter[:, 0].astype(jnp.float32), jax.nn.one_hot(batch.stoch[:, 0], self.config.model.classes)
        )

    def loss(
        self, networks: Networks, state: LearnerState, batch: Experience, key: PRNGKeyArray | None
    ) -> tuple[Float[Array, ""], Auxiliary]:
        """Compute the one loss: the sum of the means of all terms, each times its scale.

        `networks` is differentiated; of `state` only the slow critic and the return scale are used. With `key=None`
        every sample is replaced by the mode.
        """
        config = self.config.behaviour
        # Cast here, so that gradients come back in float32.
        networks, slow_critic = compute_cast((networks, state.slow_critic), self.dtype)
        model_key, imagination_key = (None, None) if key is None else jax.random.split(key)

        # World model learning (section 3): filter the replayed sequences, reconstruct and predict. Record 0 is context:
        # its latents start the recurrence, and its action leads to the first trained step.
        trained = jax.tree.map(lambda x: x[:, 1:], batch)  # (B, T, …)
        observed = networks.world_model.loss(
            self.context(batch),
            trained.observation,
            jax.tree.map(lambda x: x[:, :-1], batch.action),
            trained.reward,
            trained.is_first,
            trained.is_terminal,
            discount=config.discount,
            free_nats=self.config.loss.free_nats,
            key=model_key,
            observe=self.forms.observe,
        )
        latent, shape = observed.latent, trained.is_first.shape  # (B, T)

        # Actor and critic learning (section 4): imagine from every posterior state, N = B · T of them.
        starts = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), latent)
        imagined, targets = learn_from_imagination(
            networks, slow_critic, starts, state.return_scale, imagination_key, config, self.forms.look_ahead
        )

        # Replay value learning (section 4): the critic on real rewards, bootstrapped with each start's imagined return
        # R_0. This gradient reaches the world model. Starts are the replayed states, so the slow critic has seen them.
        replayed = replay_value_loss(
            networks.critic(_swap(latent.features)),
            _swap(targets.steps.slow_value[0].reshape(shape)),
            _swap(trained.reward),
            _swap(trained.is_last),
            _swap(trained.is_terminal),
            _swap(targets.steps.returns[0].reshape(shape)),
            trace=config.trace,
            discount=config.discount,
        )

        # One loss for one optimizer. Imagined terms (H, N) are averaged over H and become (B, T) again.
        losses = observed.losses | {name: loss.mean(0).reshape(shape) for name, loss in imagined.losses.items()}
        losses["repval"] = _swap(replayed)
        entropies = {"dyn_ent": observed.prior.entropy().sum(-1), "rep_ent": observed.posterior.entropy().sum(-1)}
        averages = means({f"loss/{name}": loss for name, loss in losses.items()} | entropies)
        total = sum((self._scale(name) * averages[f"loss/{name}"] for name in losses), start=jnp.zeros(()))
        metrics = averages | targets.metrics | self._entropies(imagined.entropies)
        latents = StoredLatents(latent.deter, jnp.argmax(latent.stoch, axis=-1))
        return total, Auxiliary(losses, latents, targets.scale, metrics, observed)

    def gradient(
        self, state: LearnerState, batch: Experience, key: PRNGKeyArray | None
    ) -> tuple[Networks, Float[Array, ""], Auxiliary]:
        """Return the gradient of the loss with respect to all networks, the loss, and its other results."""
        loss_and_gradient = jax.value_and_grad(self.loss, has_aux=True)
        (total, aux), gradient = loss_and_gradient(state.networks, state, batch, key)
        return gradient, total, aux

    def apply(
        self, state: LearnerState, gradient: Networks, total: Float[Array, ""], aux: Auxiliary
    ) -> tuple[LearnerState, UpdateOutput]:
        """Take the optimizer's step and move the slow critic. If loss or gradient are not finite, skip the update."""
        changes, opt_state = self.optimizer.update(gradient, state.optimizer, state.networks)
        # One vector of all tensors takes few kernels, where each of a hundred tensors would add its own.
        before, as_networks = ravel_pytree(state.networks)
        slope, change = ravel_pytree(gradient)[0], ravel_pytree(changes)[0]
        after = before + change
        norms = jnp.sqrt(jnp.sum(jnp.square(jnp.stack([slope, change, after])), axis=1))
        finite = jnp.isfinite(total) & jnp.isfinite(norms[0])
        rms = dict(zip(("opt/grad_rms", "opt/update_rms", "opt/param_rms"), norms / before.size**0.5, strict=True))
        metrics = aux.metrics | {"opt/loss": total, "opt/grad_norm": norms[0]} | rms

        networks: Networks = as_networks(after)
        slow_critic = optax.incremental_update(networks.critic, state.slow_critic, self.config.behaviour.slow_rate)
        moved = LearnerState(networks, slow_critic, opt_state, aux.return_scale, state.updates)
        state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
        # A skipped update counts too, because the count decides the next update's random numbers.
        return state._replace(updates=state.updates + 1), UpdateOutput(metrics, aux.latents, finite)

    def update(
        self, state: LearnerState, batch: Experience, key: PRNGKeyArray | None
    ) -> tuple[LearnerState, UpdateOutput]:
        """Take a gradient step on a batch (B, T + 1), whose first record is context. Compile with `state` donated."""
        return self.apply(state, *self.gradient(state, batch, key))

    def _entropies(self, entropies: Mapping[str, Array]) -> dict[str, Float[Array, ""]]:
        """Return the policy's entropies in nats, and for discrete actions also as a share of the largest possible."""
        metrics = means({f"ent/{name}": entropy for name, entropy in entropies.items()})
        for name, feature in self.actions.items():
            if isinstance(feature, Discrete) and feature.max_entropy:
                metrics[f"rand/{name}"] = metrics[f"ent/{name}"] / feature.max_entropy
        return metrics

    def _scale(self, name: str) -> float:
        """Return the scale of a loss term; `observation/KEY` has the scale `observation`."""
        return getattr(self.config.loss, name.partition("/")[0])


def _swap(x: Shaped[Array, "b t *rest"]) -> Shaped[Array, "t b *rest"]:
    """Exchange batch and time."""
    return jnp.swapaxes(x, 0, 1)
