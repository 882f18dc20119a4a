"""What an agent predicts and would do in a state of its world model.

Compiled functions on a batch of one. May import: `agent` and below, `model` of this room.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from reverie.behaviour import Policy
from reverie.distributions import Categorical, Key
from reverie.dreams.model import predict
from reverie.learner import Networks
from reverie.nn import compute_cast
from reverie.world_model import Latent

AnyArray = np.ndarray | jax.Array  # NumPy once fetched


class Scene(NamedTuple):
    """The agent's predictions in a state; arrays without a batch axis."""

    observation: dict[str, AnyArray]  # uint8 images, numbers in the environment's units, classes
    reward: AnyArray  # (), expected on arrival
    cont: AnyArray  # (), the probability that the episode continues
    value: AnyArray  # (), the return that the critic expects from here
    policy: dict[str, dict[str, AnyArray]]  # by action: probs (*shape, classes), or mean and std (*shape)
    action: Mapping[str, AnyArray]  # the policy's action, as the model takes it


@partial(jax.jit, static_argnames="dtype")
def imagine(
    networks: Networks, latent: Latent, action: Mapping[str, Array], key: Key, time: int | Array, *, dtype: Any
) -> Latent:
    """The next state without an observation, sampled with the key for this `time`; `key=None` takes the most likely."""
    model = compute_cast(networks, dtype).world_model
    latent = model.imagine(latent, action, _at(key, time, 0))
    return jax.tree.map(lambda x: x.astype(jnp.float32), latent)


@partial(jax.jit, static_argnames=("discount", "dtype"))
def describe(networks: Networks, latent: Latent, key: Key, time: int | Array, *, discount: float, dtype: Any) -> Scene:
    """The scene of a state; `discount` is what the continue head was trained with."""
    networks = compute_cast(networks, dtype)
    policy = networks.actor(latent.features, networks.world_model.allowed(latent))
    predicted = predict(networks, latent, discount=discount)
    scene = Scene(**predicted._asdict(), policy=_distributions(policy), action=policy.sample(_at(key, time, 1)))
    return jax.tree.map(lambda x: x[0], scene)


def _at(key: Key, time: int | Array, use: int) -> Key:
    return None if key is None else jax.random.fold_in(jax.random.fold_in(key, time), use)


def _distributions(policy: Policy) -> dict[str, dict[str, AnyArray]]:
    return {
        name: {"probs": part.probs} if isinstance(part, Categorical) else {"mean": part.mean, "std": part.std}
        for name, part in policy.parts.items()
    }
