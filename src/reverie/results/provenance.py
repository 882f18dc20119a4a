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
    """What the newest checkpoint says of the machine and of the versions of packages, by name."""
    for meta in _manifests(run.path):
        found = dict[str, str]()
        for part in ("machine", "versions"):
            values = meta.get(part)
            if isinstance(values, dict):
                found |= {str(name): str(value) for name, value in values.items() if value is not None}
            elif values is not None:
                found[part] = str(values)
        return found
    return {}


def _manifests(folder: Path) -> Iterator[dict[str, Any]]:
    """The metadata of the checkpoints, the newest first, without those that can't be read."""
    for path in sorted(folder.glob("checkpoints/*.json"), reverse=True):
        try:
            yield read_document(path)["meta"].settings()
        except (InputError, OSError):
            continue
