"""Learning curves over seeds as a picture, a file of numbers and a table. May import: this room; Matplotlib, rich."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from reverie.errors import InputError
from reverie.results.curves import Curve

COLOURS = ("#2a78c2", "#e87722", "#2f9e62", "#b5489a", "#8a6d3b", "#d0342c", "#4f5d75", "#7a9a01")


def plot(found: Sequence[Curve], picture: Path, metric: str) -> tuple[Path, Path]:
    """Draw curves, a panel for each environment, and write their numbers beside; returns both files.

    Raises:
        InputError: Matplotlib is not installed, or the name is none of a picture. The numbers are there nevertheless.
    """
    numbers = picture.with_suffix(".csv")
    picture.parent.mkdir(parents=True, exist_ok=True)
    _write_numbers(found, numbers)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            f"A picture needs Matplotlib; install it with pip install 'reverie[plot]'. The numbers are in {numbers}."
        ) from error
    envs = list(dict.fromkeys(curve.env for curve in found))
    columns = min(3, len(envs))
    rows = -(-len(envs) // columns)
    size = (7, 4.2) if len(envs) == 1 else (5 * columns, 3.6 * rows)
    figure = Figure(size, dpi=150, layout="constrained")
    grid: Any = figure.subplots(rows, columns, squeeze=False)
    for axis, env in zip(grid.flat, envs, strict=False):
        _panel(axis, env, [curve for curve in found if curve.env == env])
        axis.set_ylabel(metric.replace("/", " "))
    for axis in list(grid.flat)[len(envs) :]:
        axis.set_visible(False)
    try:
        figure.savefig(picture)
    except ValueError as error:
        raise InputError(f"{picture} can't be a picture ({error}). The numbers are in {numbers}.") from error
    return picture, numbers


def table(found: Sequence[Curve]) -> Table:
    """Where each curve ends, for the terminal."""
    shown = Table(box=None, pad_edge=False)
    for name in ("environment", "group", "runs", "steps", "IQM at the end", "95% interval"):
        shown.add_column(name, justify="left" if name in ("environment", "group") else "right")
    for curve in found:
        there = np.flatnonzero(np.isfinite(curve.mean))
        if not len(there):  # as long as most of its runs have nothing yet
            shown.add_row(
                *(Text(cell) for cell in (curve.env, curve.label or "–", str(len(curve.runs)), "–", "–", "–"))
            )
            continue
        at = int(there[-1])
        interval = f"{curve.low[at]:.4g} to {curve.high[at]:.4g}" if np.isfinite(curve.low[at]) else "–"
        cells = (curve.env, curve.label or "–", str(len(curve.runs)), f"{curve.steps[at]:,.0f}")
        shown.add_row(*(Text(cell) for cell in (*cells, f"{curve.mean[at]:.4g}", interval)))
    return shown


def _panel(axis: Any, env: str, found: list[Curve]) -> None:
    for index, curve in enumerate(found):
        colour, count = COLOURS[index % len(COLOURS)], len(curve.runs)
        words = f"IQM of {count} runs, 95% interval" if count > 1 else "one run"
        label = f"{curve.label} ({words})" if curve.label else words
        if count > 1:
            axis.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.2, lw=0)
            axis.plot(curve.steps, curve.scores.T, color=colour, lw=0.6, alpha=0.35)
        axis.plot(curve.steps, curve.mean, color=colour, lw=1.8, label=label)
    axis.set_title(env, loc="left", fontsize=11)
    axis.set_xlabel("environment steps")
    axis.set_xlim(left=0)
    axis.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    axis.grid(alpha=0.25, lw=0.6)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9)


def _write_numbers(found: Sequence[Curve], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["env", "label", "env_steps", "runs", "iqm", "low", "high"])
        for curve in found:
            for row in zip(curve.steps, curve.counts, curve.mean, curve.low, curve.high, strict=True):
                steps, runs, *numbers = row
                written = ["" if np.isnan(x) else f"{x:.6g}" for x in numbers]
                writer.writerow([curve.env, curve.label, round(steps), runs, *written])
