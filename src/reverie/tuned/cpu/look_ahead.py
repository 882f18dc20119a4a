"""`learner.look_ahead` in columns: the networks see a state while the CPU still has it in its cache.

The textbook's form imagines first and then applies every network to all imagined states.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.behaviour import Action, Critic, Policy, imagine
from reverie.distributions import Bernoulli, TwoHot
from reverie.learner import Networks, Outlook, imagination_keys
from reverie.tuned.cpu import layers
from reverie.tuned.cpu.rssm import LatentColumns, imagination_noise
from reverie.tuned.cpu.rssm import imagine as imagine_columns
from reverie.world_model import Latent

_stop = jax.lax.stop_gradient


class _Look(NamedTuple):
    """An `Outlook` on one step, with the logits of the value in columns."""

    policy: Policy
    value: Float[Array, "*steps bins starts"]
    slow_value: Float[Array, "*steps starts"]
    reward: Float[Array, "*steps starts"]
    live: Float[Array, "*steps starts"]


def look_ahead(
    networks: Networks, slow_critic: Critic, starts: Latent, key: PRNGKeyArray | None, horizon: int
) -> tuple[Action, Outlook]:
    """Compute `learner.look_ahead`; the same key gives the same samples."""
    actor, critic = networks.actor, networks.critic
    starts, model = _stop((starts, networks.world_model))
    trained = [actor.trunk, critic.trunk]
    fixed = [slow_critic.trunk, model.reward_head.trunk, model.continue_head.trunk]

    # The backward pass reads products and computes norms and activations again, which is cheaper than to store them.
    @partial(jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable)
    def look(state: LatentColumns) -> _Look:
        policy, value = layers.trunks(trained, state.features)
        slow_value, reward, cont = layers.trunks(fixed, state.features)
        outputs = {
            name: {part: layers.linear(head, policy).T for part, head in heads.items()}
            for name, heads in actor.heads.items()
        }
        return _Look(
            actor.policy(outputs),
            layers.linear(critic.out, value),
            TwoHot(layers.linear(slow_critic.out, slow_value).T).prediction(),
            TwoHot(layers.linear(model.reward_head.out, reward).T).prediction(),
            Bernoulli(layers.linear(model.continue_head.out, cont)[0]).prediction(),
        )

    def act(state: LatentColumns, key: PRNGKeyArray | None) -> tuple[Action, _Look]:
        seen = look(state)
        return _stop(seen.policy).sample(key), seen

    def step(state: LatentColumns, action: Action, uniform: Array | None) -> LatentColumns:
        return imagine_columns(model.rssm, state, model.encode_actions(action), uniform)

    act_keys, step_keys = imagination_keys(key, horizon)
    noise = imagination_noise(model.rssm, step_keys, starts.deter.shape[0])
    action, seen = imagine(step, act, LatentColumns.of(starts), horizon, act_keys, noise)
    return action, Outlook(seen.policy, TwoHot(jnp.swapaxes(seen.value, -1, -2)), *seen[2:])
