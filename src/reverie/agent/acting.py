"""One step of the policy for N environments (section 5), and what it carries to the next step."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from reverie.distributions import Categorical
from reverie.learner import Networks
from reverie.nn import compute_cast
from reverie.spaces import Discrete
from reverie.world_model import Latent


class Keys(NamedTuple):
    """Independent random keys for everything that draws numbers on the device."""

    init: PRNGKeyArray
    update: PRNGKeyArray
    act: PRNGKeyArray

    @classmethod
    def of(cls, seed: int) -> "Keys":
        """The keys that follow from a seed."""
        return cls(*jax.random.split(jax.random.key(seed), 3))


class Carry(NamedTuple):
    """What acting remembers between two steps, one row per environment."""

    latent: Latent  # (N, …)
    action: dict[str, Array]  # (N, …), the previous one, in the form that the model reads
    allowed: dict[str, Bool[Array, "n classes"]]  # the classes among which each masked action was chosen
    fresh: Bool[Array, " n"]  # no observation yet: the next one begins an episode
    key: PRNGKeyArray


class Evaluated(NamedTuple):
    """What actor and critic say about the state in a carry."""

    value: Float[Array, " n"]
    log_prob: Float[Array, " n"]  # of the action in the carry
    entropy: dict[str, Float[Array, " n"]]  # in nats
    policy: dict[str, dict[str, Array]]  # per action: `probabilities`, or `mean` and `std`


def initial_carry(networks: Networks, batch_size: int, key: PRNGKeyArray) -> Carry:
    """The carry before the first observation: zeros, marked as fresh because a discrete action of 0 is a real one."""
    actions = {
        name: jnp.zeros((batch_size, *feature.shape), jnp.int32 if isinstance(feature, Discrete) else jnp.float32)
        for name, feature in networks.world_model.actions
    }
    allowed = {
        name: jnp.ones((batch_size, feature.classes), bool)
        for name, feature in networks.world_model.actions
        if isinstance(feature, Discrete) and feature.mask
    }
    return Carry(networks.world_model.initial((batch_size,)), actions, allowed, jnp.ones(batch_size, bool), key)


@partial(jax.jit, static_argnames=("dtype", "deterministic"))
def policy_step(
    networks: Networks,
    observation: dict[str, Array],
    is_first: Bool[Array, " n"],
    carry: Carry,
    *,
    dtype: jnp.dtype,
    deterministic: bool = False,
) -> Carry:
    """Observe and choose an action for each of N environments; the new carry holds the actions.

    Args:
        networks: the agent's parameters.
        observation: by key, (N, …).
        is_first: (N,), which rows begin an episode.
        carry: of the previous step.
        dtype: of the matrix products.
        deterministic: use the modes of the latent and of the action instead of samples.
    """
    networks = compute_cast(networks, dtype)
    keys = jax.random.split(carry.key, 3)
    latent = networks.world_model.observe(
        carry.latent,
        jax.tree.map(lambda x: x[:, None], observation),
        jax.tree.map(lambda x: x[:, None], carry.action),
        (is_first | carry.fresh)[:, None],
        None if deterministic else keys[0],
    )
    latent = jax.tree.map(lambda x: x[:, 0].astype(jnp.float32), latent)
    allowed = networks.world_model.allowed_by(observation)
    action = networks.actor(latent.features, allowed).sample(None if deterministic else keys[1])
    return Carry(latent, action, allowed, jnp.zeros_like(carry.fresh), keys[2])


@partial(jax.jit, static_argnames="dtype")
def evaluate_carry(networks: Networks, carry: Carry, *, dtype: jnp.dtype) -> Evaluated:
    """Evaluate actor and critic on the state in a carry, and the action in it."""
    networks = compute_cast(networks, dtype)
    policy = networks.actor(carry.latent.features, carry.allowed)
    parts = {
        name: {"probabilities": part.probs} if isinstance(part, Categorical) else {"mean": part.mean, "std": part.std}
        for name, part in policy.parts.items()
    }
    value = networks.critic(carry.latent.features).prediction()
    return Evaluated(value, policy.log_prob(carry.action), policy.entropies(), parts)


@jax.jit
def keep_rows(which: Bool[Array, " n"], new: Carry, old: Carry) -> Carry:
    """The new carry in some rows and the old one in the others: for environments without a new observation."""

    def choose(x: Array, y: Array) -> Array:
        return jnp.where(which.reshape((-1,) + (1,) * (x.ndim - 1)), x, y)

    rows = jax.tree.map(choose, new._replace(key=new.fresh), old._replace(key=old.fresh))  # a key has no rows
    return rows._replace(key=new.key)
