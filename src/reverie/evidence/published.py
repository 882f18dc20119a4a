"""The published learning curves that come with the package; `data/README.md` names their sources.

May import: `errors`. Files are read when a curve is first asked for.
"""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from reverie.errors import InputError

DREAMERV3 = "dreamerv3"
"""The method that everything is compared with by default."""

OWN = "own"
"""The suite of settings that the authors' code was run in for comparison, not by its authors."""

# Training episodes by run: task → file, and frames per bin.
EPISODES = {"small_cartpole": ("small_cartpole.csv", 500), "cartpole": ("cartpole.csv", 500)}
METHODS = {"reference": DREAMERV3, "reverie": "reverie"}  # what those files call an implementation


class Key(NamedTuple):
    """What names a curve, as in the data: `Key("dmc_proprio", "dmc_walker_walk", "dreamerv3")`."""

    suite: str
    task: str
    method: str


@dataclass(frozen=True)
class Published:
    """A learning curve: statistics over seeds of the mean return in P bins of equal width."""

    key: Key
    frames: np.ndarray  # (P,) where each bin ends, in environment frames
    width: float  # of a bin, in environment frames
    mean: np.ndarray  # (P,)
    std: np.ndarray  # (P,) over seeds; NaN where there is only one
    seeds: np.ndarray  # (P,) how many seeds have a score

    @property
    def budget(self) -> int:
        """The frames at which the curve ends."""
        return int(self.frames[-1])

    def __str__(self) -> str:
        """The method and its seeds, for a legend: 'dreamerv3, 5 seeds'."""
        low, high = int(self.seeds.min()), int(self.seeds.max())
        number = str(high) if low == high else f"{low} to {high}"
        return f"{self.key.method}, {number} seed{'' if number == '1' else 's'}"


@cache
def published(suite: str, task: str, method: str = DREAMERV3) -> Published:
    """A published curve.

    Raises:
        InputError: there is none; the message names the methods that have one.
    """
    key = Key(suite, task, method)
    if key in _rows():
        return _curve(key, *np.array(_rows()[key], float).T)
    if key in _own_curves():
        return _own_curves()[key]
    known = [one.method for one in keys() if (one.suite, one.task) == (suite, task)]
    if not known:
        raise InputError(f"There is no published curve of {task!r} in {suite!r}.")
    raise InputError(f"There is no published curve of {method!r} on {task!r}; there are {', '.join(known)}.")


def keys() -> list[Key]:
    """The keys of all curves."""
    return [*_rows(), *_own_curves()]


@cache
def random_scores() -> dict[str, float]:
    """The mean return of a random policy by task; tasks that are missing have 0."""
    return {task: float(score) for task, score in _table("random.csv")}


def binned(frames: np.ndarray, returns: np.ndarray, ends: np.ndarray, width: float) -> np.ndarray:
    """The mean return of the episodes that ended in each bin; NaN where none did.

    Args:
        frames: (N,) when each episode ended.
        returns: (N,).
        ends: (P,) where each bin ends, ascending; it begins after `ends - width`.
        width: of a bin.
    """
    place = np.searchsorted(ends, frames)
    inside = place < len(ends)
    inside[inside] = frames[inside] > ends[place[inside]] - width
    counts = np.bincount(place[inside], minlength=len(ends))
    with np.errstate(invalid="ignore"):
        return np.bincount(place[inside], returns[inside], len(ends)) / counts


def _table(name: str) -> Iterable[list[str]]:
    """The rows of a file without its header."""
    content = files("reverie.evidence").joinpath("data", name).read_bytes()
    text = (gzip.decompress(content) if name.endswith(".gz") else content).decode()
    return list(csv.reader(text.splitlines()))[1:]


@cache
def _rows() -> dict[Key, list[list[str]]]:
    """The numbers of each curve of the authors', still as text: parsing all of them would take long."""
    rows: dict[Key, list[list[str]]] = defaultdict(list)
    for suite, task, method, *numbers in _table("curves.csv.gz"):
        rows[Key(suite, task, method)].append(numbers)
    return dict(rows)


@cache
def _own_curves() -> dict[Key, Published]:
    """The curves of our runs of the authors' code, and of our own."""
    found: dict[Key, Published] = {}
    for task, (file, width) in EPISODES.items():
        found |= _from_episodes(task, _table(file), width)
    return found


def _curve(key: Key, frames: np.ndarray, mean: np.ndarray, std: np.ndarray, seeds: np.ndarray) -> Published:
    # Bins without a score are missing, so the width is that of most steps from one bin to the next.
    bins = np.round(np.diff(frames) / np.median(np.diff(frames))).sum()
    width = float((frames[-1] - frames[0]) / bins)
    return Published(key, frames, width, mean, np.where(seeds > 1, std, np.nan), seeds.astype(int))


def _from_episodes(task: str, rows: Iterable[list[str]], width: float) -> dict[Key, Published]:
    """The curves of a file of episodes."""
    runs: dict[str, dict[str, list[list[float]]]] = defaultdict(lambda: defaultdict(list))
    for implementation, run, frames, score in rows:
        runs[implementation][run].append([float(frames), float(score)])
    found = {}
    for implementation, of_run in runs.items():
        last = max(episodes[-1][0] for episodes in of_run.values())
        ends = np.arange(1, last // width + 1) * width
        scores = np.stack([_binned(episodes, ends, width) for episodes in of_run.values()])
        seeds = np.isfinite(scores).sum(0)
        kept = seeds > 0
        mean, std = np.nanmean(scores[:, kept], 0), _deviation(scores[:, kept])
        key = Key(OWN, task, METHODS[implementation])
        found[key] = Published(key, ends[kept], width, mean, std, seeds[kept])
    return found


def _binned(episodes: list[list[float]], ends: np.ndarray, width: float) -> np.ndarray:
    frames, returns = np.array(episodes).T
    return binned(frames, returns, ends, width)


def _deviation(scores: np.ndarray) -> np.ndarray:
    """The standard deviation over runs, the first axis; NaN where there is only one."""
    known = [column[np.isfinite(column)] for column in scores.T]
    return np.array([np.std(x, ddof=1) if len(x) > 1 else np.nan for x in known])
