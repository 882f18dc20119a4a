"""Metrics, written as JSON lines and to the other loggers of the config. docs/metrics.md lists them.

May import: `config`, `errors`, `results` (to read existing metrics), `storage`, `tensorboard`, `weights_and_biases`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from reverie.config import Config
from reverie.results import read_metrics
from reverie.storage import open_to_append, row_as_json, write_text


@runtime_checkable
class Logger(Protocol):
    """Receives rows of metrics. It may raise anything: training continues without the row."""

    name: str

    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """Appends rows `{"step": …, "time": …, name: number, …}` to `metrics.jsonl`; the time is in unix seconds.

    Rows after `resume_step` are dropped first: an earlier process wrote them after its last checkpoint, and this one
    will write them again.
    """

    name = "metrics.jsonl"

    def __init__(self, folder: Path, resume_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        _truncate(path, resume_step)
        self._file = open_to_append(path)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Append a row; numbers that are not finite become null, as JSON has no others."""
        self._file.write(row_as_json({"step": step, "time": round(time.time(), 3), **values}).encode())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class MetricsWriter:
    """Passes rows to loggers. When one fails, `warn` is called once; the other loggers and the run continue."""

    def __init__(self, loggers: Sequence[Logger], warn: Callable[[str], None]):
        self._loggers, self._warn = loggers, warn
        self._failing: set[str] = set()
        self._recovered: set[str] = set()  # accepted a row since they failed

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write a row."""
        for logger in self._loggers:
            if self._try(logger, partial(logger.write, step, values)):
                self._recovered.add(logger.name)

    def flush(self) -> None:
        """Bring all rows to disk; needed before a checkpoint, after which they are not written again."""
        for logger in self._loggers:
            if self._try(logger, logger.flush) and logger.name in self._recovered:
                self._failing.discard(logger.name)

    def close(self) -> None:
        """Close all loggers."""
        for logger in self._loggers:
            self._try(logger, logger.close)

    def _try(self, logger: Logger, do: Callable[[], None]) -> bool:
        """Whether the logger did it; warns at its first failure in a row."""
        try:
            do()
        except Exception as error:
            if logger.name not in self._failing:
                self._warn(f"metrics can't be written to {logger.name} ({error}); training continues.")
            self._failing.add(logger.name)
            self._recovered.discard(logger.name)
            return False
        return True


def open_writer(folder: Path, config: Config, resume_step: int, warn: Callable[[str], None]) -> MetricsWriter:
    """Open the config's loggers. JSON lines are required; any other that can't start is left out with a warning."""
    resumed = (folder / JsonLines.name).exists()
    loggers: list[Logger] = [JsonLines(folder, resume_step)]
    others: dict[str, Callable[[], Logger]] = {}
    if config.run.tensorboard:
        from reverie.training.tensorboard import TensorBoard

        others[TensorBoard.name] = partial(TensorBoard, folder / "tensorboard", resume_step if resumed else None)
    if config.run.wandb:
        from reverie.training.weights_and_biases import WeightsAndBiases

        others[WeightsAndBiases.name] = partial(WeightsAndBiases, folder, config)
    for name, open_logger in others.items():
        try:
            loggers.append(open_logger())
        except Exception as error:
            warn(f"{name} can't be used ({error}); training continues without it.")
    return MetricsWriter(loggers, warn)


def _truncate(path: Path, step: int) -> None:
    """Drop rows after a step, and damaged lines."""
    if not path.exists():
        return
    write_text(path, "".join(row_as_json(row) for row in read_metrics(path.parent) if row["step"] <= step))
