"""λ-returns and the weights of imagined steps (section 4). Time is the first axis."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def lambda_return(
    reward: Float[Array, "T *batch"],
    live: Float[Array, "T *batch"],
    trace: Float[Array, "T *batch"],
    bootstrap: Float[Array, "T *batch"],
) -> Float[Array, "T-1 *batch"]:
    """Compute R_0 … R_{T-2} backwards from R_{T-1} = bootstrap_{T-1}:

        R_t = r_{t+1} + live_{t+1} ((1 - trace_{t+1}) bootstrap_{t+1} + trace_{t+1} R_{t+1})

    `reward` is received on arriving at a step. `live` is the probability that the future counts, including the
    discount. `trace` is λ, or 0 where the sequence is cut and the next step belongs to something else.
    """
    known = reward[1:] + (1 - trace[1:]) * live[1:] * bootstrap[1:]

    def backward(future: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        now, decay = inputs
        value = now + decay * future
        return value, value

    _, returns = jax.lax.scan(backward, bootstrap[-1], (known, live[1:] * trace[1:]), reverse=True)
    return returns


def cumulative_weight(live: Float[Array, "T *batch"]) -> Float[Array, "T *batch"]:
    """Return w_t = Π_{i ≤ t} live_i, the probability that the imagined episode still runs at step t."""
    return jnp.cumprod(live, axis=0)
