"""`learner.look_ahead` in columns: the networks see a state while the CPU still has it in its cache.

The textbook's form imagines first and then applies every network to all imagined states.
"""

from functools import partial

import jax
from jaxtyping import Array, PRNGKeyArray

from reverie import learner
from reverie.behaviour import Action, Critic, roll_out
from reverie.distributions import Bernoulli
from reverie.learner import Networks, Outlook, imagination_keys
from reverie.spaces import masks
from reverie.tuned.cpu import layers
from reverie.tuned.cpu.distributions import TwoHotColumns
from reverie.tuned.cpu.rssm import LatentColumns, imagination_noise, imagine
from reverie.world_model import Latent

_stop = jax.lax.stop_gradient


def look_ahead(
    networks: Networks, slow_critic: Critic, starts: Latent, key: PRNGKeyArray | None, horizon: int
) -> tuple[Action, Outlook]:
    """Compute `learner.look_ahead`; the same key gives the same samples."""
    if masks(dict(networks.actor.features)):  # the decoder, which predicts the mask, has no form in columns
        return learner.look_ahead(networks, slow_critic, starts, key, horizon)
    actor, critic = networks.actor, networks.critic
    starts, model = _stop((starts, networks.world_model))
    trained = [actor.trunk, critic.trunk]
    fixed = [slow_critic.trunk, model.reward_head.trunk, model.continue_head.trunk]

    # The backward pass reads products and computes norms and activations again, which is cheaper than to store them.
    @partial(jax.checkpoint, policy=jax.checkpoint_policies.dots_saveable)
    def look(state: LatentColumns) -> Outlook:
        policy, value = layers.trunks(trained, state.features)
        slow_value, reward, cont = layers.trunks(fixed, state.features)
        outputs = {
            name: {part: layers.linear(head, policy).T for part, head in heads.items()}
            for name, heads in actor.heads.items()
        }
        return Outlook(
            actor.policy(outputs),
            TwoHotColumns(layers.linear(critic.out, value)),
            TwoHotColumns(layers.linear(slow_critic.out, slow_value)).prediction(),
            TwoHotColumns(layers.linear(model.reward_head.out, reward)).prediction(),
            Bernoulli(layers.linear(model.continue_head.out, cont)[0]).prediction(),
        )

    def act(state: LatentColumns, key: PRNGKeyArray | None) -> tuple[Action, Outlook]:
        outlook = look(state)
        return _stop(outlook.policy).sample(key), outlook

    def step(state: LatentColumns, action: Action, uniform: Array | None) -> LatentColumns:
        return imagine(model.rssm, state, model.encode_actions(action), uniform)

    act_keys, step_keys = imagination_keys(key, horizon)
    noise = imagination_noise(model.rssm, step_keys, starts.deter.shape[0])
    return roll_out(step, act, LatentColumns.of(starts), horizon, act_keys, noise)
