"""Imagination (section 4): rolling any model forward with any policy.

The model comes as functions, so that this file knows no networks: `look(state)` gives what is kept of a state,
`sample(seen, key)` an action from it, `step(state, action, key)` the next state. In which layout they are, only these
functions know.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
from jaxtyping import Array, PRNGKeyArray

State = TypeVar("State")
Seen = TypeVar("Seen")
Action = dict[str, Array]
Key = PRNGKeyArray | None


class Trajectory(NamedTuple):
    """H + 1 imagined states, time on the first axis, the first being the start itself."""

    seen: Any  # what `look` gave for each
    action: Action  # (H + 1, *batch, …), each taken in its state


def imagine(
    step: Callable[[State, Action, Key], State],
    look: Callable[[State], Seen],
    sample: Callable[[Seen, Key], Action],
    start: State,
    horizon: int,
    key: Key,
) -> Trajectory:
    """`horizon` steps from `start`; an action is sampled in the last state too."""

    def advance(state: State, keys: tuple[Key, Key]) -> tuple[State, tuple[Seen, Action]]:
        seen = look(state)
        action = sample(seen, keys[0])
        return step(state, action, keys[1]), (seen, action)

    # One body for all H + 1 states, compiled once and nothing appended afterwards; its last step leads nowhere.
    keys = (None, None) if key is None else tuple(jax.random.split(key, (2, horizon + 1)))
    _, (seen, action) = jax.lax.scan(advance, start, keys, length=horizon + 1)
    return Trajectory(seen, action)
