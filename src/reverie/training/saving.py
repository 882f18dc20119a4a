"""Checkpoints of a run: when they are due, and whether the newest state is on disk.

May import: `agent`, `errors`, and of `training` `clock`, `divergence`, `folder`, `learning` and `report`.
"""

from collections.abc import Callable
from typing import Any

from reverie.agent import Agent
from reverie.errors import ReverieError
from reverie.training.clock import Clock
from reverie.training.divergence import all_finite
from reverie.training.folder import RunFolder
from reverie.training.learning import LearningLoop
from reverie.training.report import Report


class NotSavedError(ReverieError, RuntimeError):
    """A run has ended, but its newest state is not on disk.

    Attributes:
        agent: the agent, with the newest parameters; `agent.save(path)` keeps it.
    """

    def __init__(self, message: str, agent: Agent) -> None:
        super().__init__(message)
        self.agent = agent


class Saver:
    """Saves a run into its folder at intervals, and at its end.

    Args:
        folder: the run's folder; None saves nothing.
        loop: the run.
        report: has rows of metrics, which must be on disk before a checkpoint is.
        every: seconds between checkpoints.
        warn: called with each problem; training continues.
    """

    def __init__(
        self,
        folder: RunFolder | None,
        loop: LearningLoop[Any],
        report: Report,
        every: float,
        warn: Callable[[str], None],
    ) -> None:
        self._folder, self._loop, self._report, self._every, self._warn = folder, loop, report, every, warn
        self._last = Clock()

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._last.elapsed >= self._every

    def save(self) -> None:
        """Write a checkpoint in the background, unless the one before is still being written."""
        self._last = Clock()
        if self._folder and (problem := self._start(wait=False)):
            self._warn(problem)

    def save_now(self) -> str | None:
        """Write a checkpoint and wait until it is on disk; never raises.

        Returns:
            Why the newest state is not on disk, as a sentence; None if it is, or if there is no folder for it.
        """
        if self._folder is None or not self._loop.env_steps:
            return None
        try:
            problem = self._start(wait=True) or self._folder.problem()
            if self._folder.holds(self._loop.env_steps + self._loop.updates):
                return None
        except Exception as error:
            problem = f"{type(error).__name__}: {error}."
        return problem or "the last checkpoint was not written."

    def mark_best(self, score: float) -> None:
        """Keep the evaluated networks as the best checkpoint, if no evaluation had a higher score."""
        if self._folder and self._folder.beats_best(score) and self.save_now() is None:
            self._folder.mark_best(score)

    def check(self) -> None:
        """Warn of a background save that has failed."""
        if self._folder and (problem := self._folder.problem()):
            self._warn(problem)

    def fallback(self) -> str:
        """What a resumed run would start from, as a sentence."""
        assert self._folder is not None
        if self._folder.newest is None:
            return f"There is no checkpoint in '{self._folder.path}'."
        return f"Repeat the command to resume from the newest checkpoint in '{self._folder.path}'."

    def _start(self, *, wait: bool) -> str | None:
        """Hand this moment to the folder, unless parameters are not finite: then return the sentence that says so."""
        assert self._folder is not None
        if not all_finite(self._loop.state.networks):
            return "the parameters are not finite, so the newest checkpoint stays."
        self._report.flush()
        with self._loop.clock.measure("log"):
            progress = self._loop.progress()
            arrays = self._loop.arrays(progress)
            self._folder.save(self._loop.state, self._loop.replay, arrays, progress, wait=wait)
        return None
