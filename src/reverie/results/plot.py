"""Learning curves as a picture, a CSV file and a table. May import: `errors`, `text`, this room; Matplotlib, rich."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from reverie.errors import InputError
from reverie.results.curves import FINAL, Curve
from reverie.results.panels import COLORS, Picture, Reference, draw_references, finish, literal
from reverie.text import printable

FORMAT = ".png"  # of a picture whose name has no suffix


def plot(found: Sequence[Curve], picture: Path, references: Sequence[Reference] = ()) -> tuple[Path, Path]:
    """Draw curves, one panel per environment and metric, and write their numbers to a CSV file next to the picture.

    Args:
        found: the curves.
        picture: where to write the picture; its suffix is the format, .png if it has none.
        references: curves of returns by others, drawn in gray and not part of the CSV file.

    Returns:
        The paths of the picture and of the CSV file.

    Raises:
        InputError: Matplotlib is not installed, or it can't write such a picture. The CSV file is written anyway.
    """
    picture = picture if picture.suffix else picture.with_name(picture.name + FORMAT)
    numbers = picture.with_suffix(".csv")
    picture.parent.mkdir(parents=True, exist_ok=True)
    _write_numbers(found, numbers)
    panels = list(dict.fromkeys((curve.metric, curve.env) for curve in found))
    try:
        drawn = Picture(len(panels))
    except ImportError as error:
        raise InputError(
            f"A picture needs Matplotlib; install it with: pip install 'reverie[plot]'. The numbers are in {numbers}."
        ) from error
    for panel, (metric, env) in zip(drawn.panels, panels, strict=True):
        draw_references(panel, [one for one in references if one.env == env])
        _draw(panel, [curve for curve in found if (curve.metric, curve.env) == (metric, env)])
        finish(panel, env, "environment steps", metric.replace("/", " "))
    try:
        drawn.save(picture)
    except InputError as error:
        raise InputError(f"{error} The numbers are in {numbers}.") from error
    return picture, numbers


def table(found: Sequence[Curve]) -> Table:
    """The final score of each curve, for the terminal."""
    shown = Table(box=None, pad_edge=False)
    words = ("environment", "metric", "group")
    for name in (*words, "runs", "steps", f"IQM, last {FINAL:.0%} of steps", "95% interval"):
        shown.add_column(name, justify="left" if name in words else "right")
    for curve in found:
        final, steps, mean, interval = curve.final, "–", "–", "–"
        if final is not None:
            steps, mean = f"{final.steps:,.0f}", f"{final.mean:.4g}"
            interval = f"{final.low:.4g} to {final.high:.4g}" if np.isfinite(final.low) else "–"
        cells = (curve.env, curve.metric, curve.label or "–", str(len(curve.runs)), steps, mean, interval)
        shown.add_row(*(Text(printable(cell)) for cell in cells))
    return shown


def _draw(panel: Any, found: list[Curve]) -> None:
    for index, curve in enumerate(found):
        color, count = COLORS[index % len(COLORS)], len(curve.runs)
        words = f"IQM of {count} runs, 95% interval" if count > 1 else "one run"
        label = f"{literal(curve.label)} ({words})" if curve.label else words
        if count > 1:
            panel.fill_between(curve.steps, curve.low, curve.high, color=color, alpha=0.2, lw=0)
            panel.plot(curve.steps, curve.scores.T, color=color, lw=0.6, alpha=0.35)
        panel.plot(curve.steps, curve.mean, color=color, lw=1.8, label=label)


def _write_numbers(found: Sequence[Curve], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["env", "metric", "label", "env_steps", "runs", "iqm", "low", "high"])
        for curve in found:
            names = [printable(name) for name in (curve.env, curve.metric, curve.label)]
            for row in zip(curve.steps, curve.counts, curve.mean, curve.low, curve.high, strict=True):
                steps, runs, *numbers = row
                written = ["" if np.isnan(x) else f"{x:.6g}" for x in numbers]
                writer.writerow([*names, round(steps), runs, *written])
