"""Imagination (section 4): rolling any model forward with any policy.

Model and policy come as functions, so that this file knows no networks. In which layout states are, and what their
noise is (keys, numbers drawn from them, or None for the modes), only these functions know.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jaxtyping import Array

State = TypeVar("State")
Kept = TypeVar("Kept")
Action = dict[str, Array]


def imagine(
    step: Callable[[State, Action, Any], State],
    act: Callable[[State, Any], tuple[Action, Kept]],
    start: State,
    horizon: int,
    act_noise: Any,
    step_noise: Any,
) -> tuple[Action, Kept]:
    """`horizon` steps from `start`: H + 1 states, the first being the start itself, time on the first axis.

    Args:
        step: the next state, from a state, an action and noise.
        act: an action in a state, from noise, and what to keep of the state.
        act_noise: (H + 1, …), because an action is taken in the last state too.
        step_noise: (H + 1, …), of which the last is not used.

    Returns:
        The action taken in each state, and what `act` kept of it.
    """

    def advance(state: State, noise: tuple[Any, Any]) -> tuple[State, tuple[Action, Kept]]:
        action, kept = act(state, noise[0])
        return step(state, action, noise[1]), (action, kept)

    # One body for all H + 1 states, compiled once and nothing appended afterwards; its last step leads nowhere.
    return jax.lax.scan(advance, start, (act_noise, step_noise), length=horizon + 1)[1]
