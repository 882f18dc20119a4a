"""Imagination (section 4): rolling any model forward with any policy.

The model comes as functions, so that this file knows no networks: `look(state)` gives what is kept of a state,
`sample(seen, noise)` an action from it, `step(state, action, noise)` the next state. In which layout they are, and what
their noise is (keys, numbers drawn from them, or None for the modes), only these functions know.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
from jaxtyping import Array

State = TypeVar("State")
Seen = TypeVar("Seen")
Action = dict[str, Array]


class Trajectory(NamedTuple):
    """H + 1 imagined states, time on the first axis, the first being the start itself."""

    seen: Any  # what `look` gave for each
    action: Action  # (H + 1, *batch, …), each taken in its state


def imagine(
    step: Callable[[State, Action, Any], State],
    look: Callable[[State], Seen],
    sample: Callable[[Seen, Any], Action],
    start: State,
    horizon: int,
    sample_noise: Any,
    step_noise: Any,
) -> Trajectory:
    """`horizon` steps from `start`; an action is sampled in the last state too. Noise is (H + 1, …) each."""

    def advance(state: State, noise: tuple[Any, Any]) -> tuple[State, tuple[Seen, Action]]:
        seen = look(state)
        action = sample(seen, noise[0])
        return step(state, action, noise[1]), (seen, action)

    # One body for all H + 1 states, compiled once and nothing appended afterwards; its last step leads nowhere.
    _, (seen, action) = jax.lax.scan(advance, start, (sample_noise, step_noise), length=horizon + 1)
    return Trajectory(seen, action)
