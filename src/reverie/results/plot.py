"""Learning curves as a picture, a CSV file and a table. May import: `errors`, `text`, this room; Matplotlib, rich."""

import csv
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.table import Table
from rich.text import Text

from reverie.errors import InputError
from reverie.results.curves import FINAL, Curve
from reverie.text import printable

COLORS = ("#2a78c2", "#e87722", "#2f9e62", "#b5489a", "#8a6d3b", "#d0342c", "#4f5d75", "#7a9a01")
GRAY, DASHES = "#5b6470", ("--", ":", "-.")  # of curves by others
FORMAT = ".png"  # of a picture whose name has no suffix


class Reference(NamedTuple):
    """A curve by others, drawn under ours: its mean and standard deviation at P environment steps, (P,) each."""

    env: str
    label: str
    steps: np.ndarray
    mean: np.ndarray
    std: np.ndarray  # NaN where it is unknown


def plot(found: Sequence[Curve], picture: Path, metric: str, references: Sequence[Reference] = ()) -> tuple[Path, Path]:
    """Draw curves, one panel per environment, and write their numbers to a CSV file next to the picture.

    Args:
        found: the curves.
        picture: where to write the picture; its suffix is the format, .png if it has none.
        metric: the name of what is drawn.
        references: curves by others, drawn in gray and not part of the CSV file.

    Returns:
        The paths of the picture and of the CSV file.

    Raises:
        InputError: Matplotlib is not installed, or it can't write such a picture. The CSV file is written anyway.
    """
    picture = picture if picture.suffix else picture.with_name(picture.name + FORMAT)
    numbers = picture.with_suffix(".csv")
    picture.parent.mkdir(parents=True, exist_ok=True)
    _write_numbers(found, numbers)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            f"A picture needs Matplotlib; install it with: pip install 'reverie[plot]'. The numbers are in {numbers}."
        ) from error
    envs = list(dict.fromkeys(curve.env for curve in found))
    columns = min(3, len(envs))
    rows = -(-len(envs) // columns)
    size = (7, 4.2) if len(envs) == 1 else (5 * columns, 3.6 * rows)
    figure = Figure(size, dpi=150, layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axis, env in zip(grid.flat, envs, strict=False):
        _draw_references(axis, [one for one in references if one.env == env])
        _panel(axis, env, [curve for curve in found if curve.env == env])
        axis.set_ylabel(_literal(metric.replace("/", " ")))
    for axis in list(grid.flat)[len(envs) :]:
        axis.set_visible(False)
    try:
        figure.savefig(picture)
    except ValueError as error:
        raise InputError(f"Matplotlib can't write {picture} ({error}). The numbers are in {numbers}.") from error
    return picture, numbers


def table(found: Sequence[Curve]) -> Table:
    """The final score of each curve, for the terminal."""
    shown = Table(box=None, pad_edge=False)
    for name in ("environment", "group", "runs", "steps", f"IQM, last {FINAL:.0%} of steps", "95% interval"):
        shown.add_column(name, justify="left" if name in ("environment", "group") else "right")
    for curve in found:
        final, steps, mean, interval = curve.final, "–", "–", "–"
        if final is not None:
            steps, mean = f"{final.steps:,.0f}", f"{final.mean:.4g}"
            interval = f"{final.low:.4g} to {final.high:.4g}" if np.isfinite(final.low) else "–"
        cells = (curve.env, curve.label or "–", str(len(curve.runs)), steps, mean, interval)
        shown.add_row(*(Text(printable(cell)) for cell in cells))
    return shown


def _panel(axis: Any, env: str, found: list[Curve]) -> None:
    for index, curve in enumerate(found):
        color, count = COLORS[index % len(COLORS)], len(curve.runs)
        words = f"IQM of {count} runs, 95% interval" if count > 1 else "one run"
        label = f"{_literal(curve.label)} ({words})" if curve.label else words
        if count > 1:
            axis.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.2, lw=0)
            axis.plot(curve.steps, curve.scores.T, color=color, lw=0.6, alpha=0.35)
        axis.plot(curve.steps, curve.mean, color=color, lw=1.8, label=label)
    axis.set_title(_literal(env), loc="left", fontsize=11)
    axis.set_xlabel("environment steps")
    axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter(_thousands)
    axis.grid(alpha=0.25, lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)


def _draw_references(axis: Any, references: Sequence[Reference]) -> None:
    for one, dashes in zip(references, cycle(DASHES), strict=False):
        axis.fill_between(one.steps, one.mean - one.std, one.mean + one.std, color=GRAY, alpha=0.15, lw=0)
        axis.plot(one.steps, one.mean, color=GRAY, lw=1.4, ls=dashes, label=f"published: {_literal(one.label)}, ± std")


def _thousands(x: float, position: int) -> str:
    return f"{x:,.0f}"


def _literal(text: str) -> str:
    """Text that Matplotlib draws as it is, not as a formula."""
    return printable(text).replace("$", r"\$")


def _write_numbers(found: Sequence[Curve], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["env", "label", "env_steps", "runs", "iqm", "low", "high"])
        for curve in found:
            names = printable(curve.env), printable(curve.label)
            for row in zip(curve.steps, curve.counts, curve.mean, curve.low, curve.high, strict=True):
                steps, runs, *numbers = row
                written = ["" if np.isnan(x) else f"{x:.6g}" for x in numbers]
                writer.writerow([*names, round(steps), runs, *written])
