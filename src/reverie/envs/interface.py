"""The interfaces of vectorized environments: what training, evaluation and films need of them.

May import: `reverie.spaces`, `reverie.experience`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from reverie.experience import Step
from reverie.spaces import Spaces


def warn(sentence: str) -> None:
    """Report a problem with an environment as a Python warning; the default of `BaseEnvironments.tell`."""
    warnings.warn(sentence, RuntimeWarning, stacklevel=2)


@runtime_checkable
class BaseEnvironments(Protocol):
    """What all vectorized environments have in common, whether stepped from Python or inside a compiled program.

    Attributes:
        num_envs: N, the number of environments.
        spaces: the spaces of one environment.
        failures: how many times an environment has failed and was restarted.
        tell: called with a sentence about each failure and each warning.
    """

    num_envs: int
    spaces: Spaces
    failures: int
    tell: Callable[[str], object]

    def state(self) -> list[Any] | None:
        """The state of every environment in JSON's types, for `restore`; None if the environments cannot save it."""

    def restore(self, state: Sequence[Any], ended: np.ndarray) -> bool:
        """Resume from a `state`; `ended`, (N,) bool, is is_last of the record before it. False if not possible."""

    def cancel(self) -> None:
        """Stop restarting environments: a step that is waiting to restart one raises that environment's error."""

    def close(self) -> None:
        """Close all environments and end their processes."""


@runtime_checkable
class AnyEnvironments(BaseEnvironments, Protocol):
    """Vectorized environments that are stepped from Python, in any mode.

    Attributes:
        ready: (N,) bool, the environments that have a new record in the latest step. Only these take the next action;
            the rows of the others are unchanged.
        final_info: the numbers and booleans of the last info of each episode that ended in the latest step, by index
            of the environment and by name; nested names are joined with "/". Empty if no episode ended.
    """

    ready: np.ndarray
    final_info: dict[int, dict[str, float]]

    def reset(self, *, seed: Sequence[int] | None = None) -> Step:
        """Start an episode in every environment, with new seeds if `seed` is given."""

    def step(self, action: Mapping[str, np.ndarray]) -> Step:
        """Apply the policy's actions, key → (N, *shape), in the environments that are ready."""

    @property
    def render_fps(self) -> object:
        """The frame rate in the metadata of the environments, unchecked."""

    def render_frame(self, index: int = 0) -> np.ndarray:
        """An image of environment `index`: uint8, (height, width, 3)."""

    def __enter__(self) -> AnyEnvironments:
        """The environments themselves; leaving the context closes them."""

    def __exit__(self, *_: object) -> None:
        """Close the environments."""
