"""A run's folder, read as far as it is whole: it may be written at this moment. May import: `config`, `errors`,
`storage`."""

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


@dataclass(frozen=True)
class Run:
    """What a run is of. `source`: the folder of runs in which it was found, if that was asked for."""

    path: Path
    env: str
    config: Config
    source: str | None = None

    @classmethod
    def read(cls, path: Path, source: str | None = None) -> "Run":
        """The run in a folder.

        Raises:
            InputError: there is none, or it can't be read.
        """
        file = path / "agent.json"
        if not (path / "metrics.jsonl").exists() or not file.exists():
            raise InputError(f"There is no run in {path}: expected a folder with agent.json and metrics.jsonl.")
        try:
            data = read_document(file)
            env = "an environment without a name" if data["env"].value is None else data["env"].text()
            return cls(path, env, config_from_dict(data["config"].settings()), source)
        except InputError as error:
            raise InputError(
                f"{file} can't be read ({error}); it was damaged, or written by another version."
            ) from error

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Of `metrics.jsonl`."""
        return read_metrics(self.path)

    @property
    def steps(self) -> int:
        """Environment steps so far."""
        return max((row["step"] for row in self.rows), default=0)

    def series(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Environment steps and values of a metric, (N,) each, without those that were not finite."""
        pairs = [(row["step"], row[metric]) for row in self.rows if row.get(metric) is not None]
        steps, values = np.array(pairs, float).reshape(-1, 2).T
        return steps, values


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`; lines that were cut off or damaged are left out."""
    rows = read_rows(folder / "metrics.jsonl")
    numbers = ({name: x for name, x in row.items() if x is None or _is_number(x)} for row in rows)
    return [row for row in numbers if isinstance(row.get("step"), int)]


def _is_number(x: object) -> bool:
    """Whether this is a number that float64 can hold."""
    return isinstance(x, int | float) and not isinstance(x, bool) and abs(x) <= sys.float_info.max


def find_runs(paths: Iterable[Path]) -> list[Run]:
    """The runs in these folders: each is one, or holds some, directly or in folders of its own.

    Raises:
        InputError: a folder is neither, or none was given.
    """
    runs: dict[Path, Run] = {}
    for path in paths:
        if (path / "agent.json").exists():
            runs.setdefault(path.resolve(), Run.read(path))
            continue
        inside = sorted(file.parent for depth in ("*", "*/*") for file in path.glob(f"{depth}/metrics.jsonl"))
        if not inside:
            raise InputError(f"There is no run in {path}, nor in the folders in it; give the logdir of a run.")
        for folder in inside:
            runs.setdefault(folder.resolve(), Run.read(folder, str(path)))
    if not runs:
        raise InputError("Name the folder of at least one run.")
    return list(runs.values())
