"""How long, where and with which versions a run was trained. May import: `errors`, `storage`, this room."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from reverie.errors import InputError
from reverie.results.runs import Run
from reverie.storage import read_document


def duration(run: Run) -> float | None:
    """Seconds of training, or None if the run has logged no rate yet.

    A logging interval's length is the steps that it took divided by their rate; intervals of a process that was killed
    before it saved are not counted, since their rows are dropped.
    """
    steps, rates = run.series("rate/env_steps")
    taken, rates = np.diff(steps, prepend=0)[rates > 1e-9], rates[rates > 1e-9]
    return float(np.sum(np.clip(taken, 0, None) / rates)) if len(rates) else None


def recorded(run: Run) -> dict[str, str]:
    """The machine and the versions of packages, by name: those of the newest process that trained here."""
    for data in _sources(run.path):
        found = dict[str, str]()
        for part in ("machine", "versions"):
            values = data.get(part)
            if isinstance(values, dict):
                found |= {name: _shown(value) for name, value in values.items() if value is not None}
        if found:
            return found
    return {}


def _shown(value: Any) -> str:
    return ", ".join(str(x) for x in value) if isinstance(value, list) else str(value)


def _sources(folder: Path) -> Iterator[dict[str, Any]]:
    """Where runs write it: `run.json`, and in earlier versions the manifests of checkpoints, the newest first."""
    manifests = sorted(folder.glob("checkpoints/*.json"), reverse=True)
    for path, part in [(folder / "run.json", None), *((path, "meta") for path in manifests)]:
        try:
            data = read_document(path)
            yield (data if part is None else data[part]).settings()
        except (InputError, OSError):
            continue
