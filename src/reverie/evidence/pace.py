"""How long runs take. May import: `outcome`, `tasks`."""

from collections.abc import Sequence
from typing import NamedTuple

from reverie.evidence.outcome import Outcome
from reverie.evidence.tasks import Task


class Pace(NamedTuple):
    """Seconds of an environment step, and where that was measured."""

    seconds: float
    where: str


# docs/experiments.md has the measurements. A step of DeepMind Control costs one update of size1m.
MEASURED = {
    "small/cartpole": Pace(0.03, "1 CPU core"),
    "CartPole-v1": Pace(0.35, "2 CPU cores"),
    "dmc": Pace(0.31, "2 CPU cores"),
}
HERE = "here"


def pace(task: Task, outcomes: Sequence[Outcome]) -> Pace | None:
    """The pace of a task: of its own outcomes, else of the same suite's, else as measured for the documentation.

    Args:
        task: what to train.
        outcomes: of runs on this machine.
    """
    suite = task.name.partition("/")[0]
    for same in (lambda one: one.task == task.name, lambda one: one.task.partition("/")[0] == suite):
        known = [one for one in outcomes if same(one) and one.seconds and one.frames]
        if known:
            steps = sum(one.frames / one.frames_per_step for one in known)
            return Pace(sum(one.seconds or 0.0 for one in known) / steps, HERE)
    return MEASURED.get(task.name) or MEASURED.get(suite)


def minutes(task: Task, frames: int, outcomes: Sequence[Outcome]) -> float | None:
    """Minutes to train for this many frames; None if nothing comparable was measured."""
    found = pace(task, outcomes)
    return None if found is None else task.steps(frames) * found.seconds / 60
