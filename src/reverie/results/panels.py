"""A picture of several panels, one per environment or task. May import: `errors`, `text`; Matplotlib."""

from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from reverie.errors import InputError
from reverie.text import printable

COLORS = ("#2a78c2", "#e87722", "#2f9e62", "#b5489a", "#8a6d3b", "#d0342c", "#4f5d75", "#7a9a01")
GRAY, DASHES = "#5b6470", ("--", ":", "-.")  # of curves by others
COLUMNS = 3


class Reference(NamedTuple):
    """A curve by others, drawn under ours: its mean and standard deviation at P environment steps, (P,) each."""

    env: str
    label: str
    steps: np.ndarray
    mean: np.ndarray
    std: np.ndarray  # NaN where it is unknown


class Picture:
    """Panels in a grid.

    Args:
        count: of panels.
        columns: at most.

    Raises:
        ImportError: Matplotlib is not installed.
    """

    def __init__(self, count: int, columns: int = COLUMNS) -> None:
        from matplotlib.figure import Figure

        columns = min(columns, count)
        rows = -(-count // columns)
        size = (7, 4.2) if count == 1 else (5 * columns, 3.6 * rows)
        self._figure = Figure(size, dpi=150, layout="constrained")
        grid: Any = self._figure.subplots(rows, columns, squeeze=False)
        self.panels = list(grid.flat)[:count]
        for panel in list(grid.flat)[count:]:
            panel.set_visible(False)

    def save(self, path: Path) -> None:
        """Write the picture; the suffix of the path is its format.

        Raises:
            InputError: Matplotlib can't write this format.
        """
        try:
            self._figure.savefig(path)
        except ValueError as error:
            raise InputError(f"Matplotlib can't write {path} ({error}).") from error


def finish(panel: Any, title: str, x: str, y: str = "") -> None:
    """Label a panel's axes, and add a legend."""
    panel.set_title(literal(title), loc="left", fontsize=11)
    panel.set_xlabel(x)
    panel.set_ylabel(literal(y))
    panel.set_xlim(left=0)
    panel.xaxis.set_major_formatter(_thousands)
    panel.grid(alpha=0.25, lw=0.6)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=9)


def draw_references(panel: Any, references: Sequence[Reference]) -> None:
    """Draw curves by others, each with its standard deviation."""
    for one, dashes in zip(references, cycle(DASHES), strict=False):
        panel.fill_between(one.steps, one.mean - one.std, one.mean + one.std, color=GRAY, alpha=0.15, lw=0)
        panel.plot(one.steps, one.mean, color=GRAY, lw=1.4, ls=dashes, label=f"{literal(one.label)}, ± std")


def literal(text: str) -> str:
    """Text that Matplotlib draws as it is, not as a formula."""
    return printable(text).replace("$", r"\$")


def _thousands(x: float, position: int) -> str:
    return f"{x:,.0f}"
