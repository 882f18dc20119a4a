"""Learning curves of groups of runs that differ only in their seed. May import: `config`, `errors` and this room."""

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from reverie.config import config_to_dict
from reverie.errors import InputError
from reverie.results.runs import Run
from reverie.results.statistics import bootstrap_interval, interquartile_mean

POINTS = 100  # per curve, over the longest run
FINAL = 0.1  # the share of the steps that counts as the end of a curve
EPISODE_RETURN = "episode/return"

# Settings in which runs of one group may differ: how long, where and how often, not what is learned.
IGNORED = ("run.", "env.mode", "env.restarts", "env.timeout", "replay.home", "replay.memory")
COMPARED = ("run.train_ratio",)


class Final(NamedTuple):
    """The score of a group over the last tenth of its curve."""

    steps: float  # where the curve ends
    mean: float  # interquartile mean over the runs
    low: float  # of the 95% bootstrap interval; NaN for a single run
    high: float


@dataclass(frozen=True)
class Curve:
    """A metric over the runs of a group, at P environment steps."""

    env: str
    metric: str
    label: str  # what distinguishes the group from others of the same environment
    runs: tuple[Run, ...]
    steps: np.ndarray  # (P,)
    scores: np.ndarray  # (runs, P): a run's mean since the previous point; NaN before its first and after its last
    mean: np.ndarray  # (P,) interquartile mean; NaN where fewer than half of the runs have a score
    low: np.ndarray  # (P,) of the 95% bootstrap interval; NaN where only one run has a score
    high: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """(P,) how many runs have a score."""
        return np.isfinite(self.scores).sum(0)

    @property
    def final(self) -> Final | None:
        """The score over the last 10% of the steps; None if fewer than half of the runs have any score yet.

        Each run counts with the mean of its points there; a run that ended earlier is left out.
        """
        present = np.flatnonzero(np.isfinite(self.mean))
        if not len(present):
            return None
        last = int(present[-1])
        end = float(self.steps[last])
        window = (self.steps > (1 - FINAL) * end) & (self.steps <= end)
        scores = np.array([x[np.isfinite(x)].mean() for x in self.scores[:, window] if np.isfinite(x).any()])
        return Final(end, interquartile_mean(scores), *bootstrap_interval(scores[:, None]))


def curves(runs: Sequence[Run], metric: str = EPISODE_RETURN) -> list[Curve]:
    """One curve per environment and setting; runs without the metric are left out.

    Raises:
        InputError: no run has the metric.
    """
    found = [run for run in runs if len(run.series(metric)[0])]
    if not found:
        raise InputError(_no_data(runs, metric))
    groups: dict[str, list[Run]] = defaultdict(list)
    settings = {run.path: _settings(run) for run in found}
    for run in found:
        groups[repr((run.env, sorted(settings[run.path].items())))].append(run)
    firsts = [settings[group[0].path] | {"env": group[0].env} for group in groups.values()]
    return [
        _curve(group, metric, _label(first, [other for other in firsts if other["env"] == first["env"]]))
        for first, group in zip(firsts, groups.values(), strict=True)
    ]


def _curve(runs: list[Run], metric: str, label: str) -> Curve:
    series = [run.series(metric) for run in runs]
    steps = np.linspace(0, max(1.0, *(float(at[-1]) for at, _ in series)), POINTS + 1)
    scores = np.stack([_binned(at, values, steps) for at, values in series])
    steps = steps[1:]
    known = [column[np.isfinite(column)] for column in scores.T]
    mean = np.array([interquartile_mean(x) if 2 * len(x) >= len(runs) else np.nan for x in known])
    low, high = np.array([bootstrap_interval(x[:, None]) for x in known]).T
    low, high = (np.where(np.isnan(mean), np.nan, bound) for bound in (low, high))
    return Curve(runs[0].env, metric, label, tuple(runs), steps, scores, mean, low, high)


def _binned(at: np.ndarray, values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The mean of the values in each (edge, edge]; an empty bin before the last value repeats the one before it."""
    place = np.clip(np.searchsorted(edges, at) - 1, 0, len(edges) - 2)
    sums, counts = (np.bincount(place, weights, len(edges) - 1) for weights in (values, None))
    with np.errstate(invalid="ignore"):
        means = sums / counts
    newest = np.maximum.accumulate(np.where(counts > 0, np.arange(len(counts)), -1))
    held = np.where(newest >= 0, means[newest], np.nan)
    held[place.max() + 1 :] = np.nan
    return held


def _settings(run: Run) -> dict[str, Any]:
    """The settings that runs of a group share."""
    flat = {
        f"{section}.{name}": value
        for section, part in config_to_dict(run.config).items()
        if isinstance(part, dict)
        for name, value in part.items()
    }
    compared = {name: x for name, x in flat.items() if name in COMPARED or not name.startswith(IGNORED)}
    return compared | {"from": run.source}


def _label(ours: dict[str, Any], all_of_env: list[dict[str, Any]]) -> str:
    """The settings in which groups of the same environment differ."""
    differing = [name for name in ours if len({repr(other[name]) for other in all_of_env}) > 1]
    words = [str(ours["from"]) if name == "from" else f"{name} {ours[name]}" for name in sorted(differing)]
    return ", ".join(words)


def _no_data(runs: Sequence[Run], metric: str) -> str:
    """Why there is nothing to draw."""
    where = ", ".join(shlex.quote(str(run.path)) for run in runs)
    if metric == EPISODE_RETURN:
        return f"No episode has ended yet in {where}."
    names = sorted({name for run in runs for row in run.rows for name in row} - {"step", "time"})
    return f"There is no {metric!r} in {where}; there are {', '.join(names) or 'no metrics at all'}."
