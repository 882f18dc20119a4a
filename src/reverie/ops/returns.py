"""λ-returns and the weights of imagined steps (section 4). Time is the first axis, H + 1 or T steps."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def lambda_return(
    reward: Float[Array, "steps *batch"],
    live: Float[Array, "steps *batch"],
    trace: Float[Array, "steps *batch"],
    bootstrap: Float[Array, "steps *batch"],
) -> Float[Array, "steps-1 *batch"]:
    """Compute R_0 … R_{n-2} for n steps, backwards from R_{n-1} = bootstrap_{n-1}:

        R_t = r_{t+1} + live_{t+1} ((1 - trace_{t+1}) bootstrap_{t+1} + trace_{t+1} R_{t+1})

    `reward` is received on arriving at a step. `live` is the probability that the future counts, including the
    discount. `trace` is λ, or 0 where the sequence is cut and the next step belongs to something else.
    """
    known = reward[1:] + (1 - trace[1:]) * live[1:] * bootstrap[1:]
    decay = live[1:] * trace[1:]
    # R_t = known_t + decay_t R_{t+1}. Each round substitutes this formula into itself, so that it reaches twice as far
    # ahead. On a GPU these few rounds are one kernel, where a loop over the steps launches several kernels per step.
    returns = jnp.concatenate([known, bootstrap[-1:]])
    decay = jnp.concatenate([decay, jnp.zeros_like(bootstrap[-1:])])
    reach = 1
    while reach < returns.shape[0]:
        returns = returns + decay * _ahead(returns, reach)
        decay = decay * _ahead(decay, reach)
        reach *= 2
    return returns[:-1]


def _ahead(x: Float[Array, "steps *batch"], count: int) -> Float[Array, "steps *batch"]:
    """Return the values `count` steps later; 0 beyond the last step."""
    return jnp.concatenate([x[count:], jnp.zeros_like(x[:count])])


def cumulative_weight(live: Float[Array, "steps *batch"]) -> Float[Array, "steps *batch"]:
    """Return w_t = Π_{i ≤ t} live_i, the probability that the imagined episode still runs at step t."""
    return jnp.cumprod(live, axis=0)
