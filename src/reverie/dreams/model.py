"""The world model in the environment's own terms: real observations, actions and rewards instead of features.

May import: `agent` and below, `moments` of this room.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from reverie.agent import Agent
from reverie.distributions import ImageMean, Key, Output, SymlogVector
from reverie.dreams.moments import Moment
from reverie.errors import InputError
from reverie.learner import Networks, compute_dtype
from reverie.nn import compute_cast
from reverie.ops import symexp
from reverie.world_model import Latent


class Prediction(NamedTuple):
    """What the agent predicts in N states, as features; see `Spaces.decode_observation`."""

    observation: dict[str, Array]  # (N, …): uint8 images, numbers in the environment's units, classes
    reward: Array  # (N,), expected on arrival
    cont: Array  # (N,), the probability that the episode continues
    value: Array  # (N,), the return that the critic expects from here


class DreamModel:
    """Observes, imagines and predicts with an agent's world model.

    Observations and actions are those of the environment, in the structure of its spaces, with leading axes for the
    batch and, for sequences, for time. States are `Latent`s, with the same leading axes. Samples need a JAX random key;
    without one, the most likely outcomes are taken.

    Args:
        agent: whose world model, actor and critic are used.

    Attributes:
        spaces: the spaces of what is predicted, without observations that the decoder leaves out.
    """

    def __init__(self, agent: Agent) -> None:
        self._agent, self._dtype = agent, compute_dtype(agent.config.model)
        self._seen = agent.spaces.select(agent.config.model.encoder_keys)
        self.spaces = agent.spaces.select(agent.config.model.decoder_keys)

    def observe(self, observations: Any, actions: Any, is_first: Any = None, key: Key = None) -> Latent:
        """The states of recorded sequences.

        Args:
            observations: leaves (B, T, …).
            actions: leaves (B, T, …), each taken after the observation of the same step; the last one is not used.
            is_first: (B, T), the steps that begin an episode; by default each sequence begins one.
            key: samples the states.

        Returns:
            The states, leaves (B, T, …).

        Raises:
            ValueError: the values do not fit the spaces, or differ in their leading axes.
        """
        first = next(iter(self._seen.observation_leaves.values()))
        leading = np.shape(first.pick(observations))[:2]
        flat = self._seen.encode_observation(jax.tree.map(_merge, observations))
        observed = {name: x.reshape((*leading, *x.shape[1:])) for name, x in flat.items()}
        taken = self._encode_actions(actions, leading)
        begins = np.arange(leading[1]) == 0 if is_first is None else np.asarray(is_first, bool)
        previous = {name: np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], 1) for name, x in taken.items()}
        latent = self._agent.networks.world_model.initial(leading[:1])
        starts = np.broadcast_to(begins, leading)
        return _observe(self._agent.networks, latent, observed, previous, starts, key, dtype=self._dtype)

    def remember(self, moment: Moment) -> Latent:
        """The state at a recorded moment, leaves (1, …): the stored state of the first record, then updated."""
        records, classes = moment.records, self._agent.config.model.classes
        deter, stoch = (jnp.asarray(x[:1], jnp.float32) for x in (records.deter, np.eye(classes)[records.stoch]))
        latent, action = Latent(deter, stoch), self._agent.spaces.zero_action(1)
        for at in range(moment.start + 1):
            observation, taken, is_first = jax.tree.map(
                lambda x, at=at: x[at : at + 1], (records.observation, records.action, records.is_first)
            )
            if at or is_first.all():
                step = jax.tree.map(lambda x: x[:, None], (observation, action, is_first))
                latents = _observe(self._agent.networks, latent, *step, None, dtype=self._dtype)
                latent = jax.tree.map(lambda x: x[:, 0], latents)
            action = taken
        return latent

    def imagine(self, latent: Latent, actions: Any, key: Key = None) -> Latent:
        """The states that a sequence of actions leads to, without observations.

        Args:
            latent: where to start, leaves (B, …).
            actions: leaves (B, H, …).
            key: samples the states.

        Returns:
            The states after each action, leaves (B, H, …).

        Raises:
            ValueError: the actions do not fit the action space, or there is another number of states.
        """
        batch = latent.deter.shape[0]
        leaf = next(iter(self.spaces.action_leaves.values()))
        leading = np.shape(leaf.pick(actions, "action"))[:2]
        if len(leading) < 2 or leading[0] != batch:
            raise InputError(f"There are {batch} states, so actions need leading axes ({batch}, H), got {leading}.")
        return _imagine(self._agent.networks, latent, self._encode_actions(actions, leading), key, dtype=self._dtype)

    def decode(self, latent: Latent) -> Any:
        """The observations that the model predicts in some states, with their leading axes."""
        leading = latent.deter.shape[:-1]
        decoded = self.spaces.decode_observation(jax.device_get(self._predict(latent).observation))
        return jax.tree.map(lambda x: x.reshape((*leading, *x.shape[1:])), decoded)

    def reward(self, latent: Latent) -> np.ndarray:
        """The reward expected on arriving in each state, in the shape of the states' leading axes."""
        return np.asarray(self._predict(latent).reward).reshape(latent.deter.shape[:-1])

    def cont(self, latent: Latent) -> np.ndarray:
        """The probability that the episode continues after each state, in the shape of the leading axes."""
        return np.asarray(self._predict(latent).cont).reshape(latent.deter.shape[:-1])

    def value(self, latent: Latent) -> np.ndarray:
        """The return that the critic expects from each state, in the shape of the leading axes."""
        return np.asarray(self._predict(latent).value).reshape(latent.deter.shape[:-1])

    def act(self, latent: Latent, key: Key = None) -> Any:
        """The policy's actions in states with leaves (B, …), in the structure of the action space."""
        return self.spaces.decode_action(jax.device_get(_act(self._agent.networks, latent, key, dtype=self._dtype)))

    def _predict(self, latent: Latent) -> Prediction:
        leading = latent.deter.ndim - 1
        flat = jax.tree.map(lambda x: x.reshape((-1, *x.shape[leading:])), latent)
        discount = self._agent.config.behaviour.discount
        return _predict(self._agent.networks, flat, discount=discount, dtype=self._dtype)

    def _encode_actions(self, actions: Any, leading: tuple[int, ...]) -> dict[str, np.ndarray]:
        flat = self.spaces.encode_action(jax.tree.map(_merge, actions))
        return {name: x.reshape((*leading, *x.shape[1:])) for name, x in flat.items()}


def predict(networks: Networks, latent: Latent, *, discount: float) -> Prediction:
    """Predict in N states; `discount` is what the continue head was trained with. Networks are cast already."""
    model = networks.world_model
    return Prediction(
        {name: in_own_units(output) for name, output in model.decode(latent).items()},
        model.reward(latent).prediction(),
        jnp.minimum(1.0, model.cont(latent).prediction() / discount),
        networks.critic(latent.features).prediction(),
    )


def in_own_units(output: Output) -> Array:
    """A prediction as a feature: uint8 images, numbers in the environment's units, or classes."""
    prediction = output.prediction()
    if isinstance(output, ImageMean):
        return jnp.round(255 * prediction).astype(jnp.uint8)
    return symexp(prediction) if isinstance(output, SymlogVector) else prediction


@partial(jax.jit, static_argnames="dtype")
def _observe(
    networks: Networks,
    latent: Latent,
    observation: Mapping[str, Array],
    previous_action: Mapping[str, Array],
    is_first: Bool[Array, "b t"],
    key: Key,
    *,
    dtype: Any,
) -> Latent:
    model = compute_cast(networks, dtype).world_model
    return _float32(model.observe(latent, observation, previous_action, is_first, key))


@partial(jax.jit, static_argnames="dtype")
def _imagine(networks: Networks, latent: Latent, actions: Mapping[str, Array], key: Key, *, dtype: Any) -> Latent:
    model = compute_cast(networks, dtype).world_model
    horizon = next(iter(actions.values())).shape[1]

    def step(latent: Latent, inputs: tuple[Mapping[str, Array], Any]) -> tuple[Latent, Latent]:
        latent = _float32(model.imagine(latent, *inputs))
        return latent, latent

    keys = None if key is None else jax.random.split(key, horizon)
    inputs = {name: jnp.moveaxis(x, 1, 0) for name, x in actions.items()}, keys
    _, latents = jax.lax.scan(step, _float32(latent), inputs)
    return jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), latents)


@partial(jax.jit, static_argnames=("discount", "dtype"))
def _predict(networks: Networks, latent: Latent, *, discount: float, dtype: Any) -> Prediction:
    return predict(compute_cast(networks, dtype), latent, discount=discount)


@partial(jax.jit, static_argnames="dtype")
def _act(networks: Networks, latent: Latent, key: Key, *, dtype: Any) -> dict[str, Array]:
    networks = compute_cast(networks, dtype)
    return networks.actor(latent.features, networks.world_model.allowed(latent)).sample(key)


def _float32(latent: Latent) -> Latent:
    return jax.tree.map(lambda x: x.astype(jnp.float32), latent)


def _merge(x: Any) -> np.ndarray:
    """Merge the first two axes."""
    x = np.asarray(x)
    return x.reshape((-1, *x.shape[2:]))
