"""Losses of actor and critic (section 4), time on the first axis.

The actor learns by REINFORCE from imagined returns, the critic from the same returns and from replayed ones.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from reverie.behaviour.actor import Policy
from reverie.behaviour.imagination import Action
from reverie.distributions import TwoHot
from reverie.ops import ReturnScale, lambda_return
from reverie.ops.returns import cumulative_weight


class ImaginationLoss(NamedTuple):
    """Per start, averaged over the imagined steps."""

    losses: dict[str, Float[Array, " starts"]]
    returns: Float[Array, "H starts"]
    scale: ReturnScale
    metrics: dict[str, Float[Array, ""]]


def imagination_loss(
    action: Action,
    policy: Policy,
    value: TwoHot,
    slow_value: Float[Array, "steps starts"],
    reward: Float[Array, "steps starts"],
    live: Float[Array, "steps starts"],
    scale: ReturnScale,
    *,
    trace: float,
    entropy_scale: float,
    scale_rate: float,
    percentiles: tuple[float, float],
) -> ImaginationLoss:
    """Policy and value loss on imagined steps 0 … H.

    `policy` and `value` are the live networks' outputs and carry gradient; everything else is data. `live` is the
    continue probability, which carries the discount already.
    """
    stop = jax.lax.stop_gradient
    baseline = stop(value.prediction())
    returns = stop(lambda_return(reward, live, jnp.full_like(live, trace), baseline))
    weight = stop(cumulative_weight(live))
    scale = scale.update(returns, rate=scale_rate, percentiles=percentiles)
    advantage = (returns - baseline[:-1]) / scale.divisor
    entropies = {name: entropy[:-1] for name, entropy in policy.entropies().items()}
    score = policy.log_prob(stop(action))[:-1] * advantage + entropy_scale * sum(entropies.values())
    value_loss = _critic_loss(value, returns, slow_value)
    losses = {"policy": jnp.mean(weight[:-1] * -score, 0), "value": jnp.mean(weight[:-1] * value_loss, 0)}
    normed = (returns - scale.low) / scale.divisor
    metrics = {
        "adv": advantage.mean(),
        "adv_std": advantage.std(),
        "adv_mag": jnp.abs(advantage).mean(),
        "rew": reward.mean(),
        "con": live.mean(),
        "ret": normed.mean(),
        "ret_min": normed.min(),
        "ret_max": normed.max(),
        "ret_rate": jnp.mean(jnp.abs(normed) >= 1.0),
        "tar": returns.mean(),
        "val": baseline.mean(),
        "slowval": slow_value.mean(),
        "weight": weight.mean(),
        **{f"ent/{name}": entropy.mean() for name, entropy in entropies.items()},
        **_randomness(policy, entropies),
    }
    return ImaginationLoss(losses, returns, scale, metrics)


def replay_value_loss(
    value: TwoHot,
    slow_value: Float[Array, "T b"],
    reward: Float[Array, "T b"],
    is_last: Bool[Array, "T b"],
    is_terminal: Bool[Array, "T b"],
    bootstrap: Float[Array, "T b"],
    *,
    trace: float,
    discount: float,
) -> Float[Array, "T-1 b"]:
    """The critic's loss on real rewards, bootstrapped with the first imagined return of each state.

    A terminal step is worth nothing afterwards; a truncated one cuts the λ-return but keeps its bootstrap.
    """
    live = (1 - is_terminal.astype(jnp.float32)) * discount
    running = 1 - is_last.astype(jnp.float32)
    returns = lambda_return(reward, live, running * trace, bootstrap)
    return running[:-1] * _critic_loss(value, returns, slow_value)


def _critic_loss(value: TwoHot, returns: Array, slow_value: Array) -> Array:
    """Towards the returns, and towards the slow copy of itself; for all steps but the last."""
    early = jax.tree.map(lambda logits: logits[:-1], value)
    return early.loss(returns, slow_value[:-1])


def _randomness(policy: Policy, entropies: dict[str, Array]) -> dict[str, Array]:
    """Entropy of discrete actions as a share of the largest possible."""
    result = {}
    for name, events in policy.events:
        logits = getattr(policy.parts[name], "logits", None)
        if logits is not None:
            entries = jnp.prod(jnp.asarray(logits.shape[logits.ndim - 1 - events : -1]))
            result[f"rand/{name}"] = entropies[name].mean() / (entries * jnp.log(logits.shape[-1]))
    return result
