"""The losses of actor and critic (section 4). Time is the first axis.

The actor learns by REINFORCE from imagined returns; the critic learns from the same returns and from replayed ones.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reverie.behaviour.actor import Policy
from reverie.behaviour.imagination import Action
from reverie.distributions import TwoHot
from reverie.ops import ReturnScale, lambda_return, means
from reverie.ops.returns import cumulative_weight


class StepTargets(NamedTuple):
    """The targets of actor and critic at imagined steps 0 … H - 1, and the weight of each step. No gradient."""

    advantage: Float[Array, "*steps starts"]  # in units of the return scale
    returns: Float[Array, "*steps starts"]
    slow_value: Float[Array, "*steps starts"]
    weight: Float[Array, "*steps starts"]


class ImaginationTargets(NamedTuple):
    """Targets, the new return scale and metrics, from predictions about imagined states."""

    steps: StepTargets  # (H, starts)
    scale: ReturnScale  # updated with these returns
    metrics: dict[str, Float[Array, ""]]


class ImaginationLoss(NamedTuple):
    """The loss terms `policy` and `value`, per imagined step and start."""

    losses: dict[str, Float[Array, "*steps starts"]]
    entropies: dict[str, Float[Array, "*steps starts"]]  # of the policy, per action key


def imagination_targets(
    value: Float[Array, "steps starts"],
    slow_value: Float[Array, "steps starts"],
    reward: Float[Array, "steps starts"],
    live: Float[Array, "steps starts"],
    scale: ReturnScale,
    trace: float,
    scale_rate: float,
    percentiles: tuple[float, float],
) -> ImaginationTargets:
    """Compute λ-returns, normalized advantages and weights from predictions at imagined steps 0 … H.

    `live` is the continue probability, which includes the discount.
    """
    value, slow_value, reward, live = jax.lax.stop_gradient((value, slow_value, reward, live))
    returns = lambda_return(reward, live, jnp.full_like(live, trace), value)
    weight = cumulative_weight(live)
    scale = scale.update(returns, rate=scale_rate, percentiles=percentiles)
    advantage = (returns - value[:-1]) / scale.divisor
    normed = (returns - scale.low) / scale.divisor
    averages = means(
        {
            "adv": advantage,
            "adv_mag": jnp.abs(advantage),
            "rew": reward,
            "con": live,
            "ret": normed,
            "ret_rate": jnp.abs(normed) >= 1.0,
            "tar": returns,
            "val": value,
            "slowval": slow_value,
            "weight": weight,
        }
    )
    metrics = averages | {"adv_std": advantage.std(), "ret_min": normed.min(), "ret_max": normed.max()}
    return ImaginationTargets(StepTargets(advantage, returns, slow_value[:-1], weight[:-1]), scale, metrics)


def imagination_loss(
    policy: Policy, value: TwoHot, action: Action, targets: StepTargets, entropy_scale: float
) -> ImaginationLoss:
    """Compute the policy loss and the value loss, elementwise, for one imagined step or for all.

    `policy` and `value` are outputs of the trained networks and carry the gradient; all else has none.
    """
    entropies = policy.entropies()
    score = policy.log_prob(jax.lax.stop_gradient(action)) * targets.advantage + entropy_scale * sum(entropies.values())
    # The critic has two targets, whose losses are added: the return, and the slow critic's value, which keeps it near.
    losses = {
        "policy": targets.weight * -score,
        "value": targets.weight * value.loss(targets.returns, targets.slow_value),
    }
    return ImaginationLoss(losses, entropies)


def replay_value_loss(
    value: TwoHot,
    slow_value: Float[Array, "t b"],
    reward: Float[Array, "t b"],
    is_last: Bool[Array, "t b"],
    is_terminal: Bool[Array, "t b"],
    bootstrap: Float[Array, "t b"],
    *,
    trace: float,
    discount: float,
) -> Float[Array, "t-1 b"]:
    """Compute the critic's loss on real rewards, bootstrapped with the first imagined return of each state.

    After a terminal step the return is 0; a truncated step ends the λ-return but keeps its bootstrap.
    """
    live = (1 - is_terminal.astype(jnp.float32)) * discount
    running = 1 - is_last.astype(jnp.float32)  # 0 at the last step: ends the trace, keeps the bootstrap
    returns = lambda_return(reward, live, running * trace, bootstrap)
    early: TwoHot = jax.tree.map(lambda logits: logits[:-1], value)
    return running[:-1] * early.loss(returns, slow_value[:-1])
