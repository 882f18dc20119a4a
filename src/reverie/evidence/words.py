"""Scores as the cells of a table. May import: `scores`."""

import math
from collections.abc import Sequence

from reverie.evidence.scores import Comparison, Summary

HEAD = (
    "task",
    "part",
    "frames",
    "seeds",
    "ours",
    "95% interval",
    "theirs",
    "± std",
    "ratio",
    "95% interval",
    "P(better)",
)


def task_rows(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """Two rows for each task."""
    return [
        [
            *(one.task.name, part.part, f"{one.frames[-1]:,.0f}", str(len(part.ours))),
            *(score(float(part.ours.mean())), interval(part.low, part.high), score(part.others), score(part.spread)),
            *(score(part.ratio), interval(*part.ratio_interval), score(float(part.better.mean()))),
        ]
        for one in comparisons
        for part in one.parts
    ]


def all_rows(total: Summary) -> list[list[str]]:
    """A row for all tasks together, if there are several."""
    if total.tasks < 2:
        return []
    words = f"all {total.tasks}, IQM"
    scores = [score(total.ratio), interval(*total.ratio_interval), score(total.better)]
    return [[words, total.part, "", str(total.seeds), "", "", "", "", *scores]]


def score(x: float) -> str:
    """A number in four digits, without decimals if it has more; '–' for NaN."""
    return "–" if math.isnan(x) else f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"


def interval(low: float, high: float) -> str:
    """Two bounds; '–' if there are none."""
    return "–" if math.isnan(low) else f"{score(low)} to {score(high)}"
