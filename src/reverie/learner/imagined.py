"""Learning from imagined states (section 4): where the world model and the behavior meet."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from reverie.behaviour import (
    Action,
    Allowed,
    Critic,
    ImaginationLoss,
    ImaginationTargets,
    Policy,
    imagination_loss,
    imagination_targets,
    roll_out,
)
from reverie.config import BehaviourConfig
from reverie.distributions import TwoHot
from reverie.learner.networks import Networks
from reverie.ops import ReturnScale
from reverie.world_model import Latent


class Outlook(NamedTuple):
    """The predictions of all networks at imagined states, (H + 1, N). Only `policy` and `value` carry a gradient.

    The steps are written *steps because a tuned form may look at one step at a time, without that axis.
    """

    policy: Policy
    value: TwoHot
    slow_value: Float[Array, "*steps starts"]
    reward: Float[Array, "*steps starts"]
    live: Float[Array, "*steps starts"]  # the continue probability, including the discount


LookAhead = Callable[[Networks, Critic, Latent, PRNGKeyArray | None, int], tuple[Action, Outlook]]


def look_ahead(
    networks: Networks, slow_critic: Critic, starts: Latent, key: PRNGKeyArray | None, horizon: int
) -> tuple[Action, Outlook]:
    """Imagine from every start; return the actions taken in all H + 1 states and the outlook on each state.

    States and actions have no gradient: the world model learns nothing here, and actor and critic learn from their
    own outputs alone.
    """
    starts, model, actor = jax.lax.stop_gradient((starts, networks.world_model, networks.actor))

    def act(latent: Latent, key: PRNGKeyArray | None) -> tuple[Action, tuple[Array, Allowed]]:
        allowed = model.allowed(latent)
        return actor(latent.features, allowed).sample(key), (latent.features, allowed)

    # Roll out the prior with actions of the policy …
    action, (features, allowed) = roll_out(model.imagine, act, starts, horizon, *imagination_keys(key, horizon))
    # … then apply every network to all imagined states at once.
    return action, Outlook(
        networks.actor(features, allowed),
        networks.critic(features),
        slow_critic(features).prediction(),
        model.reward_head(features).prediction(),
        model.continue_head(features).prediction(),
    )


def imagination_keys(key: PRNGKeyArray | None, horizon: int) -> tuple[Key[Array, " steps"] | None, ...]:
    """Return H + 1 keys for actions and H + 1 keys for states; None for None, which stands for the modes."""
    return (None, None) if key is None else tuple(jax.random.split(key, (2, horizon + 1)))


def learn_from_imagination(
    networks: Networks,
    slow_critic: Critic,
    starts: Latent,
    scale: ReturnScale,
    key: PRNGKeyArray | None,
    config: BehaviourConfig,
    look_ahead: LookAhead = look_ahead,
) -> tuple[ImaginationLoss, ImaginationTargets]:
    """Compute the losses of imagined steps 0 … H - 1 from every start, (H, N), and their targets.

    Args:
        starts: Posterior states with one leading axis, N.
        scale: The return scale before this update; the targets contain the one after it.
        key: None replaces every sample by the mode.
        look_ahead: This module's function or one that computes the same.
    """
    action, outlook = look_ahead(networks, slow_critic, starts, key, config.imagination_length)
    targets = imagination_targets(
        outlook.value.prediction(),
        outlook.slow_value,
        outlook.reward,
        outlook.live,
        scale,
        trace=config.trace,
        scale_rate=config.scale_rate,
        percentiles=config.percentiles,
    )
    # The last state has no return. Padding the targets and dropping its loss is cheaper than copying all other logits.
    padded = jax.tree.map(lambda x: jnp.pad(x, ((0, 1), (0, 0))), targets.steps)
    loss = imagination_loss(outlook.policy, outlook.value, action, padded, config.entropy_scale)
    return jax.tree.map(lambda x: x[:-1], loss), targets
