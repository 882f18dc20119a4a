"""Whether results are as good as they should be, for CI. May import: `outcome`, `scores`, `words`."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from reverie.errors import ReverieError
from reverie.evidence.outcome import Outcome
from reverie.evidence.scores import Comparison, Score
from reverie.evidence.words import interval, score

State = Literal["ok", "low", "missing", "unjudged"]


class Verdict(NamedTuple):
    """What the gate says about a part of a task's curve, or about a run that is missing."""

    state: State
    about: str
    text: str


class TooLowError(ReverieError):
    """Scores are below the published ones, or runs are missing."""


def judge(comparisons: Sequence[Comparison], outcomes: Sequence[Outcome]) -> list[Verdict]:
    """A verdict on both parts of each task's curve, and on each run that has not finished.

    low: the upper end of our interval is below others' mean minus their standard deviation. missing: a run has not
    finished, or a task has one seed, which has no interval. unjudged: others' deviation is unknown.
    """
    found = [_judge(one, part) for one in comparisons for part in one.parts]
    unfinished = [one for one in outcomes if not one.finished]
    return found + [Verdict("missing", f"{one.task}, seed {one.seed}", "has not finished") for one in unfinished]


def enforce(verdicts: Sequence[Verdict]) -> None:
    """Raise a TooLowError if scores are low or runs are missing."""
    bad = [one for one in verdicts if one.state in ("low", "missing")]
    if bad:
        listed = "; ".join(f"{one.about}: {one.text}" for one in bad)
        raise TooLowError(f"{len(bad)} of {len(verdicts)} checks failed. {listed}.")


def _judge(one: Comparison, part: Score) -> Verdict:
    about = f"{one.task.name}, {part.part}"
    if math.isnan(part.high):
        return Verdict("missing", about, "one seed has no interval; train at least two")
    shown = f"{interval(part.low, part.high)}, {one.others.name} {score(part.others)} ± {score(part.spread)}"
    if math.isnan(part.spread):
        return Verdict("unjudged", about, shown)
    return Verdict("low" if part.high < part.others - part.spread else "ok", about, shown)
