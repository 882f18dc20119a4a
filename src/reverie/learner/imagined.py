"""What actor and critic learn from imagined states (section 4): world model and behaviour brought together.

The textbook's form imagines first, then every network looks at all imagined states at once. The form in columns
computes the same, but the networks look at a state while imagination is at it, when a CPU has it in its cache.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, PRNGKeyArray

from reverie.behaviour import (
    Action,
    Critic,
    ImaginationLoss,
    ImaginationTargets,
    Policy,
    imagination_loss,
    imagination_targets,
    imagine,
)
from reverie.config import BehaviourConfig
from reverie.distributions import TwoHot
from reverie.learner.networks import Networks
from reverie.nn import columns, tuned_for_cpu
from reverie.ops import ReturnScale
from reverie.world_model import Latent
from reverie.world_model import columns as model_columns

_stop = jax.lax.stop_gradient


class Outlook(NamedTuple):
    """What all networks say about imagined states, time on the first axis. Policy and value carry gradient."""

    policy: Policy
    value: TwoHot
    slow_value: Float[Array, "*steps starts"]
    reward: Float[Array, "*steps starts"]
    live: Float[Array, "*steps starts"]


def learn_from_imagination(
    networks: Networks,
    slow_critic: Critic,
    starts: Latent,
    scale: ReturnScale,
    key: PRNGKeyArray | None,
    config: BehaviourConfig,
) -> tuple[ImaginationLoss, ImaginationTargets]:
    """Losses of imagined steps 0 … H - 1 from every start, (H, N), and the targets that they stand on.

    Args:
        starts: posterior states with one leading axis, N.
        scale: of returns, before this update; the targets have the one after.
        key: None takes all modes.
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
    # The last state has no return. To give it an empty one and drop its loss is cheaper than to copy others' logits.
    padded = jax.tree.map(lambda x: jnp.pad(x, ((0, 1), (0, 0))), targets.steps)
    loss = imagination_loss(outlook.policy, outlook.value, action, padded, config.entropy_scale)
    return jax.tree.map(lambda x: x[:-1], loss), targets


def look_ahead(
    networks: Networks, slow_critic: Critic, starts: Latent, key: PRNGKeyArray | None, horizon: int
) -> tuple[Action, Outlook]:
    """Imagine from every start: the actions taken in H + 1 states, and the outlook on each.

    States and actions are data: the world model gets no gradient, actor and critic that of their own outputs alone.
    """
    keys = (None, None) if key is None else tuple(jax.random.split(key, (2, horizon + 1)))
    form = _in_columns if tuned_for_cpu() else _in_rows
    return form(networks, slow_critic, _stop(starts), keys, horizon)


Keys = tuple[Key[Array, " steps"] | None, ...]  # for actions and for states, H + 1 each


def _in_rows(
    networks: Networks, slow_critic: Critic, starts: Latent, keys: Keys, horizon: int
) -> tuple[Action, Outlook]:
    model, actor = _stop(networks.world_model), _stop(networks.actor)

    def act(latent: Latent, key: PRNGKeyArray | None) -> tuple[Action, Array]:
        return actor(latent.features).sample(key), latent.features

    action, features = imagine(model.imagine, act, starts, horizon, *keys)
    return action, Outlook(
        networks.actor(features),
        networks.critic(features),
        slow_critic(features).prediction(),
        model.reward_head(features).prediction(),
        model.continue_head(features).prediction(),
    )


def _in_columns(
    networks: Networks, slow_critic: Critic, starts: Latent, keys: Keys, horizon: int
) -> tuple[Action, Outlook]:
    actor, critic, model = networks.actor, networks.critic, _stop(networks.world_model)
    learning = [actor.trunk, critic.trunk]
    asked = [slow_critic.trunk, model.reward_head.trunk, model.continue_head.trunk]

    # For the gradient, products are kept, and norms and activations computed again: that is cheaper than to store them.
    @partial(jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable)
    def look(state: model_columns.LatentColumns) -> Outlook:
        policy, value = columns.trunks(learning, state.features)
        slow_value, reward, cont = columns.trunks(asked, state.features)
        return Outlook(
            actor.columns(policy),
            critic.columns(value),
            slow_critic.columns(slow_value).prediction(),
            model_columns.reward(model.reward_head, reward).prediction(),
            model_columns.cont(model.continue_head, cont).prediction(),
        )

    def act(state: model_columns.LatentColumns, key: PRNGKeyArray | None) -> tuple[Action, Outlook]:
        outlook = look(state)
        return _stop(outlook.policy).sample(key), outlook

    noise = model_columns.noise(model.rssm, keys[1], starts.deter.shape[0])

    def step(state: model_columns.LatentColumns, action: Action, uniform: Array | None) -> model_columns.LatentColumns:
        return model_columns.imagine(model.rssm, state, model.encode_actions(action), uniform)

    return imagine(step, act, model_columns.LatentColumns.of(starts), horizon, keys[0], noise)
