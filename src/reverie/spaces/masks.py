"""Action masks: an observation that says which classes of a discrete action are allowed.

The convention is Gymnasium's and PettingZoo's: next to an action space `Discrete(n)`, the observation `action_mask` has
n entries, 1 for each action that is allowed.

May import: `features`, `kinds`, `leaves`; Gymnasium and NumPy.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from gymnasium import spaces

from reverie.spaces.features import Discrete, Feature
from reverie.spaces.kinds import UnsupportedSpaceError, bounds
from reverie.spaces.leaves import Leaf

MASK = "action_mask"  # the key of the observation


def masks(actions: Mapping[str, Feature]) -> dict[str, str]:
    """The observation that masks an action, for each action that is masked."""
    return {key: feature.mask for key, feature in actions.items() if isinstance(feature, Discrete) and feature.mask}


def can_be_masked(action_space: Any) -> bool:
    """Whether `action_mask` can mask the actions of a space: only those of a single `Discrete` one."""
    return isinstance(action_space, spaces.Discrete)


def link_mask(
    observed: dict[str, Leaf], action_space: Any, acted: dict[str, Leaf]
) -> tuple[dict[str, Leaf], dict[str, Leaf]]:
    """The leaves of observation and action, with the features of a mask and of what it masks if there is one.

    Raises:
        UnsupportedSpaceError: the mask does not fit the action space.
    """
    if MASK not in observed or not can_be_masked(action_space):
        return observed, acted
    ((key, action),) = acted.items()
    count = int(action_space.n)
    if not _is_binary(observed[MASK].space, count):
        raise UnsupportedSpaceError(
            f"observation {MASK!r} is {observed[MASK].space}, but a mask of {action_space} has {count} entries that "
            f"are 0 or 1: make it MultiBinary({count}), rename it, or leave it out with --env.keys"
        )
    mask = replace(observed[MASK], feature=Discrete((count,), 2), order=())
    masked = replace(action, feature=Discrete((), count, mask=MASK))
    return {**observed, MASK: mask}, {key: masked}


def _is_binary(space: Any, count: int) -> bool:
    if space.shape != (count,):
        return False
    match space:
        case spaces.MultiBinary():
            return True
        case spaces.MultiDiscrete():
            return bool((space.nvec == 2).all() and not space.start.any())
        case spaces.Box():
            low, high = bounds(space)
            return bool((low == 0).all() and (high == 1).all())
    return False


def unused_mask(observed: Mapping[str, Leaf], action_space: Any) -> str | None:
    """A sentence about an observation that is called like a mask but masks nothing."""
    if MASK not in observed or can_be_masked(action_space):
        return None
    return (
        f"observation {MASK!r} is an ordinary observation and masks no action, because the action space is "
        f"{action_space}: only the actions of a Discrete space can be masked."
    )


def allows(mask: Any, action_space: spaces.Discrete, action: Any) -> bool:
    """Whether a mask allows an action of the space."""
    return bool(np.asarray(mask)[int(action) - int(action_space.start)])
