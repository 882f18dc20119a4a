"""A run's folder, readable while the run is still training. May import: `config`, `errors`, `storage`."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from reverie.config import Config, config_from_dict
from reverie.errors import InputError
from reverie.storage import read_document, read_rows

LARGEST = 1e300  # in size; beyond it, sums and differences of values would overflow
MOST_STEPS = 2**53  # beyond it, floats skip integers


@dataclass(frozen=True)
class Run:
    """A run: its folder, environment and settings.

    Attributes:
        path: the run's folder.
        env: the environment's name.
        config: the settings that it was trained with.
        source: the folder of runs in which it was found, if it was not named directly.
    """

    path: Path
    env: str
    config: Config
    source: str | None = None

    @classmethod
    def read(cls, path: Path, source: str | None = None) -> "Run":
        """Read the description of the run in a folder.

        Raises:
            InputError: the folder holds no run, or the run's description can't be read.
        """
        file = path / "agent.json"
        if not (path / "metrics.jsonl").exists() or not file.exists():
            raise InputError(f"There is no run in {path}: expected a folder with agent.json and metrics.jsonl.")
        try:
            data = read_document(file)
            env = "an environment without a name" if data["env"].value is None else data["env"].text()
            config = config_from_dict(data["config"].settings())
        except InputError as error:
            raise InputError(
                f"{file} can't be read ({error}). It is damaged, or another version of Reverie wrote it."
            ) from error
        return cls(path, env, config, source)

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of `metrics.jsonl`."""
        return read_metrics(self.path)

    @property
    def steps(self) -> int:
        """Environment steps taken so far."""
        return max((row["step"] for row in self.rows), default=0)

    def series(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Environment steps and values of a metric, (N,) each; without values that are not finite or beyond 1e300."""
        pairs = [(row["step"], value) for row in self.rows if (value := _usable(row.get(metric))) is not None]
        steps, values = np.array(pairs, float).reshape(-1, 2).T
        return steps, values


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`, without incomplete or damaged lines and values that are no numbers.

    Raises:
        DamagedFileError: the file is missing, not a regular file, or too large.
    """
    rows = read_rows(folder / "metrics.jsonl")
    numbers = ({name: x for name, x in row.items() if x is None or _is_number(x)} for row in rows)
    return [row for row in numbers if type(row.get("step")) is int and 0 <= row["step"] <= MOST_STEPS]


def find_runs(paths: Iterable[Path]) -> list[Run]:
    """The runs in these folders; each is a run's own folder, or holds runs up to two levels down.

    Raises:
        InputError: there are no folders, or one of them holds no run.
    """
    runs: dict[Path, Run] = {}
    for path in paths:
        if (path / "agent.json").exists():
            runs.setdefault(path.resolve(), Run.read(path))
            continue
        inside = sorted(file.parent for depth in ("*", "*/*") for file in path.glob(f"{depth}/metrics.jsonl"))
        if not inside:
            raise InputError(f"There is no run in {path} or its subfolders; name the folder of a run.")
        for folder in inside:
            runs.setdefault(folder.resolve(), Run.read(folder, str(path)))
    if not runs:
        raise InputError("Name the folder of at least one run.")
    return list(runs.values())


def _is_number(value: object) -> bool:
    """Whether this is a number that float64 can hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _usable(value: float | None) -> float | None:
    """A metric's value, or None if it can't be computed with."""
    return None if value is None or abs(value) > LARGEST else float(value)
