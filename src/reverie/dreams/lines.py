"""Open-loop predictions of numbers, of the reward and of continuation as curves: truth and prediction.

Each column is a sequence, each row a quantity. Shading marks the steps without observations. May import:
`open_loop`; Matplotlib.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from reverie.dreams.open_loop import OpenLoop, Pair

COLUMNS, DIMENSIONS = 3, 8  # at most: sequences, and entries of observations
TRUTH, PREDICTION, SHADE = "#9aa5b8", "#e8620a", "#fdf0e4"


def draw_lines(path: Path, dream: OpenLoop, title: str) -> None:
    """Draw an `OpenLoop` of NumPy arrays, without its images, as a PNG."""
    rows = list(_rows(dream))
    columns = min(COLUMNS, len(dream.horizon))
    width, height = 1.4 + 3.4 * columns, 1.1 + 1.15 * len(rows)
    figure = Figure((width, height), dpi=100)
    figure.subplots_adjust(1.3 / width, 0.5 / height, 1 - 0.1 / width, 1 - 0.6 / height, wspace=0.06, hspace=0.18)
    grid: Any = figure.subplots(len(rows), columns, sharex=True, sharey="row", squeeze=False)
    for axes, (name, pair) in zip(grid, rows, strict=True):
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center")
        for column in range(columns):
            _panel(axes[column], pair.truth[column], pair.prediction[column], dream.is_first[column])
            _shade(axes[column], dream.horizon[column] > 0)
    for axis in grid[-1]:
        axis.set_xlabel("step")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.text(0.1 / width, 1 - 0.3 / height, title, fontsize=11, va="center")
    place = (1 - 0.05 / width, 1 - 0.3 / height)
    figure.legend(handles, names, loc="center right", bbox_to_anchor=place, ncols=3, frameon=False, fontsize=9)
    figure.savefig(path)


def _rows(dream: OpenLoop) -> Iterator[tuple[str, Pair]]:
    """The name and (B, T) values of each quantity: reward, continuation, then the first entries of the observations."""
    yield "reward", dream.reward
    yield "continue", dream.cont
    numbers = {
        key: Pair(*(x.reshape((*x.shape[:2], -1)) for x in pair))
        for key, pair in dream.observation.items()
        if pair.truth.dtype != np.uint8
    }
    every = [(key, index) for key, pair in numbers.items() for index in range(pair.truth.shape[2])]
    for key, index in every[:DIMENSIONS]:
        of = f" of {numbers[key].truth.shape[2]}" if len(every) > DIMENSIONS else ""
        yield f"{key} {index}{of}", Pair(*(x[..., index] for x in numbers[key]))


def _panel(axis: Any, truth: np.ndarray, prediction: np.ndarray, is_first: np.ndarray) -> None:
    """One quantity of one sequence; lines break where an episode begins."""
    breaks = np.flatnonzero(is_first)
    time = np.insert(np.arange(1.0, len(truth) + 1), breaks, np.nan)
    for values, color, wide, name in (
        (truth, TRUTH, 3.2, "truth"),
        (prediction, PREDICTION, 1.2, "prediction"),
    ):
        broken = np.insert(values.astype(float), breaks, np.nan)
        axis.plot(time, broken, color=color, lw=wide, marker=".", ms=1.5 * wide, label=name)
    axis.grid(alpha=0.25, lw=0.5)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)


def _shade(axis: Any, dreams: np.ndarray) -> None:
    """Shade the steps without observations."""
    edges = np.flatnonzero(np.diff(dreams, prepend=False, append=False)) + 0.5
    for begin, end in edges.reshape(-1, 2):
        axis.axvspan(begin, end, color=SHADE, lw=0, zorder=0)
    axis.plot([], [], color=SHADE, lw=8, label="no observation")
