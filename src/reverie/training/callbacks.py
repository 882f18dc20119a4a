"""Callbacks: objects whose methods a run calls as it goes, to measure, to steer and to stop it.

May import: `config`, `agent`, `learner`, and of `training` `episodes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from reverie.agent import Agent
from reverie.config import Config
from reverie.errors import InputError
from reverie.learner import UpdateOutput
from reverie.training.episodes import Episode, Episodes


@runtime_checkable
class Run(Protocol):
    """What a callback sees of a run."""

    @property
    def agent(self) -> Agent:
        """The agent, with the newest parameters."""

    @property
    def config(self) -> Config:
        """The run's config."""

    @property
    def env_steps(self) -> int:
        """Environment steps (decisions) so far, over all environments."""

    @property
    def updates(self) -> int:
        """Gradient steps so far."""

    @property
    def episodes(self) -> Episodes:
        """How many episodes have finished (`count`) and the returns of the newest 20 (`recent`)."""

    def record(self, name: str, value: float) -> None:
        """Add a metric to the next row, as the mean of all values recorded under this name since the last row."""

    def stop(self, reason: str = "") -> None:
        """End the run after this step; it is saved as usual, and counts as finished."""


class Callback:
    """A base class whose methods do nothing. Any object with some of these methods is a callback, too.

    They are called between two steps of the loop, in the order of the list that was passed to `train`. An error in one
    of them ends the run, which is saved first.
    """

    def on_step(self, run: Run) -> None:
        """Called after each step of the loop: a step of the environments, and the updates that were due."""

    def on_episode(self, run: Run, episode: Episode) -> None:
        """Called for each finished episode, with its `total_reward` and `length`."""

    def on_update(self, run: Run, output: UpdateOutput) -> None:
        """Called for each update, with its metrics, latents and whether it was applied (`finite`).

        The device may still be computing them: reading a value waits for it, and slows training down.
        """

    def on_log(self, run: Run, row: Mapping[str, float]) -> None:
        """Called with each row of metrics, just before it is written; `run.record` still adds to this row."""

    def on_end(self, run: Run) -> None:
        """Called once when training ends, before the last row and the last checkpoint; not after an error."""


EVENTS = tuple(name for name in vars(Callback) if name.startswith("on_"))


class Until(Callback):
    """Stops a run when a function of it returns True, asked for each row of metrics."""

    def __init__(self, condition: Callable[[Any], bool]) -> None:
        if not callable(condition):
            raise InputError(f"until must be a function of the run that returns whether to stop, got {condition!r}.")
        self._condition = condition

    def on_log(self, run: Run, row: Mapping[str, float]) -> None:
        if self._condition(run):
            run.stop("the condition 'until' was met")


class Callbacks:
    """Several callbacks as one; costs nothing where nobody listens.

    Raises:
        InputError: one of them has no method of a callback, or has an `on_…` that is none.
    """

    def __init__(self, callbacks: Sequence[object]) -> None:
        if not isinstance(callbacks, Sequence):
            raise InputError(f"callbacks must be a list of objects, got {callbacks!r}.")
        for callback in callbacks:
            own = {name for name in dir(callback) if name.startswith("on_")}
            if isinstance(callback, type) or not own or own - set(EVENTS):
                wrong = ", ".join(sorted(own - set(EVENTS))) or "none of them"
                raise InputError(
                    f"A callback is an object with some of the methods {', '.join(EVENTS)}; {callback!r} has {wrong}."
                )
        self._methods: dict[str, list[Callable[..., object]]] = {
            event: [getattr(callback, event) for callback in callbacks if _listens(callback, event)]
            for event in EVENTS
        }

    def call(self, event: str, run: Run, *arguments: object) -> None:
        """Call this method of all that have it."""
        for method in self._methods[event]:
            method(run, *arguments)


def _listens(callback: object, event: str) -> bool:
    """Whether it does something at an event: the methods of `Callback` itself do nothing."""
    return hasattr(callback, event) and getattr(type(callback), event, None) is not getattr(Callback, event)
