"""Open-loop prediction: the model observes the first half of replayed sequences and predicts the rest from the actions.

An episode that begins in the second half can't be predicted: the model observes its first record too, and predicts on
from there. May import: `distributions`, `experience`, `nn`, `ops`, `world_model`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array as JaxArray
from jaxtyping import Bool, Float, Int

from reverie.distributions import Bernoulli, Categorical, ImageMean, Key, Output, SymlogVector
from reverie.experience import Experience
from reverie.nn import compute_cast
from reverie.ops import symexp
from reverie.world_model import Latent, WorldModel

HORIZONS = (1, 2, 4, 8, 16, 32)  # steps ahead at which errors are logged

Array = Any  # JAX on the device, NumPy once fetched; shapes are in the fields' comments


class Pair(NamedTuple):
    """Truth and prediction, in the same units."""

    truth: Array  # (B, T, …)
    prediction: Array


class OpenLoop(NamedTuple):
    """Predictions for B sequences of T steps."""

    observation: dict[str, Pair]  # images as uint8, numbers in the environment's units, classes as integers
    reward: Pair  # (B, T)
    cont: Pair  # (B, T), whether the episode continues after this step; predicted as a probability
    is_first: Array  # (B, T) bool
    horizon: Array  # (B, T), steps since the last observation; 0 at an observation
    error: dict[str, Array]  # (horizons,) losses by name, at horizon 0, 1, …; NaN where no step has this horizon


@partial(jax.jit, static_argnames=("discount", "dtype"))
def open_loop(model: WorldModel, batch: Experience, key: Key, *, discount: float, dtype: Any) -> OpenLoop:
    """Predict a batch of replayed sequences.

    Args:
        batch: leaves (B, T + 1, …), as the replay buffer returns them; the model starts at the first record's latent.
        key: for sampling latents as imagination does; None takes their modes.
        discount: what the continue head was trained with; its predictions are divided by it.
        dtype: of the computation.

    Returns:
        Predictions, and the losses of the decoder and the heads as `WorldModel.loss` defines them; those at horizon 0
        are reconstruction losses.
    """
    model = compute_cast(model, dtype)
    now, action = jax.tree.map(lambda x: x[:, 1:], batch), jax.tree.map(lambda x: x[:, :-1], batch.action)
    horizon = _horizons(now.is_first)
    states = _states(model, _context(model, batch), now, action, horizon == 0, key)
    decoded, reward, cont = model.decode(states), model.reward(states), model.cont(states)
    continues = 1 - now.is_terminal.astype(jnp.float32)
    losses = {name: output.loss(now.observation[name]) for name, output in decoded.items()}
    losses |= {"rew": reward.loss(now.reward), "con": cont.loss(continues * discount)}
    return OpenLoop(
        {name: Pair(now.observation[name], _in_units(output)) for name, output in decoded.items()},
        Pair(now.reward, reward.prediction()),
        Pair(continues, _probability(cont, discount)),
        now.is_first,
        horizon,
        {name: _by_horizon(loss, horizon) for name, loss in losses.items()},
    )


def _horizons(is_first: Bool[JaxArray, "b t"]) -> Int[JaxArray, "b t"]:
    """Steps since the last observation; the model observes the first half and the first record of each episode."""
    time = jnp.broadcast_to(jnp.arange(is_first.shape[1]), is_first.shape)
    seen = (time < is_first.shape[1] // 2) | is_first
    return time - jax.lax.cummax(jnp.where(seen, time, 0), axis=1)


def _context(model: WorldModel, batch: Experience) -> Latent:
    """The stored latents of the first records."""
    return Latent(batch.deter[:, 0].astype(jnp.float32), jax.nn.one_hot(batch.stoch[:, 0], model.rssm.classes))


def _states(
    model: WorldModel,
    latent: Latent,
    now: Experience,
    action: dict[str, JaxArray],
    seen: Bool[JaxArray, "b t"],
    key: Key,
) -> Latent:
    """Latents (B, T, …): posterior samples at observations, prior samples elsewhere."""
    rssm, keep = model.rssm, ~now.is_first
    embedding, actions = model.encoder(now.observation), model.encode_actions(action) * keep[..., None]

    def step(latent: Latent, inputs: tuple[Any, ...]) -> tuple[Latent, Latent]:
        embedding, action, keep, seen, uniform = inputs
        latent = jax.tree.map(lambda x: x * keep.reshape((-1,) + (1,) * (x.ndim - 1)).astype(x.dtype), latent)
        deter = rssm.next_deter(latent, action)
        prior, posterior = rssm.prior(deter), rssm.posterior(deter, embedding)
        belief = Categorical(jnp.where(seen[:, None, None], posterior.logits, prior.logits), rssm.unimix)
        sample = belief.mode() if uniform is None else belief.pick(uniform)
        latent = Latent(deter, jax.nn.one_hot(sample, rssm.classes, dtype=deter.dtype))
        return latent, latent

    noise = None if key is None else jax.random.uniform(key, (*seen.shape[::-1], rssm.groups))
    inputs = (*(jnp.moveaxis(x, 1, 0) for x in (embedding, actions, keep, seen)), noise)
    latent = jax.tree.map(lambda x: x.astype(rssm.gates.weight.dtype), latent)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), jax.lax.scan(step, latent, inputs)[1])


def _in_units(output: Output) -> JaxArray:
    """The prediction in the units of the observation."""
    match output:
        case ImageMean():
            return jnp.round(255 * output.prediction()).astype(jnp.uint8)
        case SymlogVector():
            return symexp(output.prediction())
    return output.prediction()


def _probability(cont: Bernoulli, discount: float) -> Float[JaxArray, "b t"]:
    return jnp.minimum(cont.prediction() / discount, 1)


def _by_horizon(loss: Float[JaxArray, "b t"], horizon: Int[JaxArray, "b t"]) -> Float[JaxArray, " horizons"]:
    """The mean loss over all steps of each horizon, from 0 to the longest."""
    longest = horizon.shape[1] - horizon.shape[1] // 2
    belongs = jax.nn.one_hot(horizon, longest + 1)
    return jnp.sum(loss[..., None] * belongs, (0, 1)) / jnp.sum(belongs, (0, 1))
