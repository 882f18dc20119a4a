"""Imagination (section 4): rolling any model forward with any policy.

The model comes as two functions, so that this file knows no networks: `step(state, action, key)` gives the next
state, `features(state)` what the policy sees. In which layout they are, only these functions know.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

State = TypeVar("State")
Action = dict[str, Array]
Key = PRNGKeyArray | None


class Trajectory(NamedTuple):
    """Imagined steps, time on the first axis."""

    features: Float[Array, "steps ..."]  # H + 1 of them, the first being the start's own
    action: Action  # (H + 1, *batch, …), each taken after its features


def imagine(
    step: Callable[[State, Action, Key], State],
    features: Callable[[State], Array],
    policy: Callable[[Array, Key], Action],
    start: State,
    horizon: int,
    key: Key,
) -> Trajectory:
    """`horizon` steps from `start`; the last action is sampled too, so that both lengths are horizon + 1."""
    keys = None if key is None else jax.random.split(key, 2 * horizon + 1)
    policy_keys, step_keys, last_key = (
        (None, None, None) if keys is None else (keys[:horizon], keys[horizon:-1], keys[-1])
    )

    def advance(state: State, keys: tuple[Key, Key]) -> tuple[State, tuple[Array, Action]]:
        seen = features(state)
        action = policy(seen, keys[0])
        return step(state, action, keys[1]), (seen, action)

    final, (seen, action) = jax.lax.scan(advance, start, (policy_keys, step_keys), length=horizon)
    last = features(final)
    append = lambda sequence, item: jnp.concatenate([sequence, item[None]], axis=0)  # noqa: E731
    return Trajectory(append(seen, last), jax.tree.map(append, action, policy(last, last_key)))
