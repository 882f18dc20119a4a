"""Scores at equal frames, ours next to others', with intervals. May import: `outcome`, `published`, `tasks`, `results`.

Returns are averaged within the bins of the published curve and then over seeds, as the published ones are. Two numbers
of each curve are compared: its `end`, the last tenth of the frames that both sides have, and the `whole` of it. Bins in
which no episode of a seed ended repeat the one before.

The methods are those of Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (2021).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from reverie.errors import InputError
from reverie.evidence.outcome import Outcome
from reverie.evidence.published import binned
from reverie.evidence.tasks import Task
from reverie.results import bootstrap_interval, interquartile_mean
from reverie.results.curves import FINAL

BINS = 24  # of tasks without a published curve
Part = Literal["end", "whole"]
PARTS: tuple[Part, Part] = ("end", "whole")


class Others(NamedTuple):
    """What we compare with, at the bins of the published curve, (P,) each."""

    name: str
    mean: np.ndarray
    std: np.ndarray  # over seeds; NaN where it is unknown
    scores: np.ndarray | None = None  # (seeds, P); None if only mean and deviation are known


class Score(NamedTuple):
    """Our score and others', over a part of the curve."""

    part: Part
    ours: np.ndarray  # (seeds,)
    low: float  # of the 95% bootstrap interval of our mean over seeds; NaN for one seed
    high: float
    others: float
    spread: float  # standard deviation of others' seeds; NaN if it is unknown
    normalized: np.ndarray  # (seeds,) ours ÷ others', counted from a random policy's; NaN if others are no better
    theirs: np.ndarray | None  # (seeds,) others', likewise; None if only their mean is known
    better: np.ndarray  # (seeds,) the probability that our seed beats a seed of others

    @property
    def ratio(self) -> float:
        """The mean of our seeds ÷ others'."""
        return float(self.normalized.mean())

    @property
    def ratio_interval(self) -> tuple[float, float]:
        """The 95% bootstrap interval of the ratio, over the seeds of all whose scores are known."""
        theirs = None if self.theirs is None else self.theirs[:, None]
        return bootstrap_interval(self.normalized[:, None], trim=0, over=theirs)


@dataclass(frozen=True)
class Comparison:
    """A task: our curve and others', at P bins that both have."""

    task: Task
    outcomes: tuple[Outcome, ...]  # one per seed
    frames: np.ndarray  # (P,) where the bins end
    scores: np.ndarray  # (seeds, P)
    others: Others

    @property
    def mean(self) -> np.ndarray:
        """(P,) the mean over seeds."""
        return self.scores.mean(0)

    @property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """The 95% bootstrap interval of the mean, (P,) each; NaN for one seed."""
        low, high = np.array([bootstrap_interval(column[:, None], trim=0) for column in self.scores.T]).T
        return low, high

    @property
    def parts(self) -> list[Score]:
        """The scores of both parts."""
        return [self.score(part) for part in PARTS]

    def score(self, part: Part) -> Score:
        """The score of a part of the curve."""
        window = self.frames > (1 - FINAL) * self.frames[-1] if part == "end" else self.frames > 0
        ours = self.scores[:, window].mean(1)
        theirs = None if self.others.scores is None else self.others.scores[:, window].mean(1)
        std = self.others.std[window]
        spread = float(np.nanmean(std)) if np.isfinite(std).any() else math.nan
        if theirs is not None and len(theirs) > 1:
            spread = float(theirs.std(ddof=1))
        mean = float(self.others.mean[window].mean())
        unit = mean - self.task.floor if mean > self.task.floor else math.nan
        normalized = (ours - self.task.floor) / unit
        normalized_others = None if theirs is None else (theirs - self.task.floor) / unit
        better = np.array([_beats(one, mean, spread, theirs) for one in ours])
        low, high = bootstrap_interval(ours[:, None], trim=0)
        return Score(part, ours, low, high, mean, spread, normalized, normalized_others, better)


class Summary(NamedTuple):
    """All tasks together, over a part of the curves, with 95% bootstrap intervals over seeds."""

    part: Part
    tasks: int  # with a ratio
    seeds: int  # that all of these have
    ratio: float  # interquartile mean over seeds and tasks, ours ÷ others'
    ratio_interval: tuple[float, float]
    better: float  # the probability of improvement, mean over tasks
    better_interval: tuple[float, float]


def compare(task: Task, outcomes: Sequence[Outcome], method: str) -> Comparison:
    """Our outcomes of a task and the published curve of a method.

    Raises:
        InputError: there is no such curve, or a run has not reached the end of its first bin.
    """
    curve = task.published(method)
    frames, scores = _at_equal_frames(outcomes, curve.frames, curve.width)
    kept = len(frames)
    return Comparison(task, tuple(outcomes), frames, scores, Others(method, curve.mean[:kept], curve.std[:kept]))


def compare_versions(
    task: Task, ours: Sequence[Outcome], theirs: Sequence[Outcome], name: str, method: str
) -> Comparison:
    """Two versions of the code on a task, over the seeds that both have.

    Args:
        task: any environment.
        ours: outcomes of the one version.
        theirs: outcomes of the other.
        name: what to call the other.
        method: whose published bins are used, if there are any.

    Raises:
        InputError: no seed is in both, or a run has not reached the end of its first bin.
    """
    seeds = sorted({one.seed for one in ours} & {one.seed for one in theirs})
    if not seeds:
        raise InputError(f"No seed of {task.name} was trained by both versions.")
    pairs = [[next(one for one in side if one.seed == seed) for seed in seeds] for side in (ours, theirs)]
    if task.suite is not None:
        curve = task.published(method)
        ends, width = curve.frames, curve.width
    else:
        width = min(one.frames for one in (*pairs[0], *pairs[1])) / BINS
        ends = width * np.arange(1, BINS + 1)
    frames, both = _at_equal_frames([*pairs[0], *pairs[1]], ends, width)
    mine, other = both[: len(seeds)], both[len(seeds) :]
    std = other.std(0, ddof=1) if len(seeds) > 1 else np.full(len(frames), np.nan)
    return Comparison(task, tuple(pairs[0]), frames, mine, Others(name, other.mean(0), std, other))


def summarize(comparisons: Sequence[Comparison], part: Part) -> Summary:
    """All tasks together; tasks without a ratio are left out, and so are seeds that not all tasks have."""
    scores = [comparison.score(part) for comparison in comparisons]
    kept = [one for one in scores if np.isfinite(one.normalized).all()]
    seeds = min((len(one.ours) for one in kept), default=0)
    if not kept:
        nothing = (math.nan, math.nan)
        return Summary(part, 0, 0, math.nan, nothing, math.nan, nothing)
    ratios = np.stack([one.normalized[:seeds] for one in kept], 1)
    theirs = (
        None if kept[0].theirs is None else np.stack([one.theirs[:seeds] for one in kept if one.theirs is not None], 1)
    )
    better = np.stack([one.better[:seeds] for one in kept], 1)
    return Summary(
        part,
        len(kept),
        seeds,
        interquartile_mean(ratios) / (1 if theirs is None else interquartile_mean(theirs)),
        bootstrap_interval(ratios, over=theirs),
        float(better.mean()),
        bootstrap_interval(better, trim=0),
    )


def _at_equal_frames(outcomes: Sequence[Outcome], ends: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The bins that all outcomes have reached the end of, (P,), and their scores there, (outcomes, P)."""
    reached = min(one.frames for one in outcomes)
    kept = ends[ends <= reached + 0.5]
    if not len(kept):
        last = min(outcomes, key=lambda one: one.frames)
        raise InputError(
            f"{last.task}, seed {last.seed}, has {last.frames:,} frames; the first bin ends at {ends[0]:,.0f}."
        )
    return kept, np.stack([_scores(one, kept, width) for one in outcomes])


def _scores(outcome: Outcome, ends: np.ndarray, width: float) -> np.ndarray:
    """The mean return in each bin; a bin without one repeats the one before it, or else the first that has one."""
    found = binned(outcome.ends, outcome.returns, ends, width)
    known = np.flatnonzero(np.isfinite(found))
    if not len(known):
        raise InputError(f"No episode of {outcome.task}, seed {outcome.seed}, ended within {ends[-1]:,.0f} frames.")
    newest = np.maximum.accumulate(np.where(np.isfinite(found), np.arange(len(found)), known[0]))
    return found[newest]


def _beats(score: float, mean: float, spread: float, theirs: np.ndarray | None) -> float:
    """The probability that a score is higher than that of another seed; ties count half.

    Of published seeds only mean and deviation are known, so they are taken to be normally distributed.
    """
    if theirs is not None:
        return float(np.mean((score > theirs) + 0.5 * (score == theirs)))
    if spread > 0:
        return 0.5 * (1 + math.erf((score - mean) / (spread * math.sqrt(2))))
    return 0.5 * (1 + float(np.sign(score - mean)))
