"""Imagination (section 4): rolling out any model with any policy.

The model and the policy are functions, so that this file knows no networks. Only these functions know what a state is,
and what noise is: keys, numbers that were drawn from them, or None for the modes.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
from jaxtyping import Array

State = TypeVar("State")
Kept = TypeVar("Kept")
Action = dict[str, Array]


def roll_out(
    step: Callable[[State, Action, Any], State],
    act: Callable[[State, Any], tuple[Action, Kept]],
    start: State,
    horizon: int,
    act_noise: Any,
    step_noise: Any,
) -> tuple[Action, Kept]:
    """Roll out `horizon` steps from `start`, which gives H + 1 states, the first of them `start` itself.

    Args:
        step: Returns the next state, from a state, an action and noise.
        act: Returns an action and whatever should be kept of the state, from a state and noise.
        act_noise: Noise for `act`, (H + 1, …), because an action is sampled in the last state too.
        step_noise: Noise for `step`, (H + 1, …); the last entry is not used.

    Returns:
        The action taken in each state and what `act` kept of it, time on the first axis.
    """

    def advance(state: State, noise: tuple[Any, Any]) -> tuple[State, tuple[Action, Kept]]:
        action, kept = act(state, noise[0])
        return step(state, action, noise[1]), (action, kept)

    # One loop body for all H + 1 states compiles once and needs no concatenation; its last step is discarded.
    return jax.lax.scan(advance, start, (act_noise, step_noise), length=horizon + 1)[1]
