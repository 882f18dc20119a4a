"""Metrics to files: JSON lines, and TensorBoard without TensorFlow. May import: nothing of Reverie."""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class MetricsWriter:
    """Appends rows `{"step": …, name: number, …}` to `metrics.jsonl`, and the same to TensorBoard.

    Rows beyond `resume_step` are dropped first: they are of a run that was cut off after its last checkpoint and
    will be written again.
    """

    def __init__(self, folder: Path, *, tensorboard: bool, resume_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "metrics.jsonl"
        continued = path.exists()
        _truncate(path, resume_step)
        self._file = path.open("a", encoding="utf-8")
        self._events: Any = None
        if tensorboard:
            from tensorboardX import SummaryWriter

            self._events = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step + 1 if continued else None)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row; numbers that aren't finite become null, which JSON can say."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk, which has been told of
            self._file.close()
        if self._events is not None:
            self._events.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The rows of a run's `metrics.jsonl`; lines that were cut off are left out."""
    rows = []
    for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def _truncate(path: Path, step: int) -> None:
    if not path.exists():
        return
    rows = [row for row in read_metrics(path.parent) if row["step"] <= step]
    replacement = path.with_suffix(".tmp")
    replacement.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    replacement.replace(path)
