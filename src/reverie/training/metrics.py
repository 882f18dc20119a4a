"""Metrics to where people look for them: JSON lines, and whatever else was asked for. docs/metrics.md lists them.

May import: `config`, `errors`, `results` (to read what is there), `storage`, `tensorboard`, `weights_and_biases`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from reverie.config import Config
from reverie.results import read_metrics
from reverie.storage import open_to_append, row_as_json, write_text


@runtime_checkable
class Logger(Protocol):
    """Takes rows of metrics; may raise whatever it likes."""

    name: str

    def write(self, step: int, values: Mapping[str, float]) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """Appends rows `{"step": …, name: number, …}` to `metrics.jsonl`.

    Rows beyond `resume_step` are dropped first: they are of a run that was cut off after its last checkpoint and
    will be written again.
    """

    name = "metrics.jsonl"

    def __init__(self, folder: Path, resume_step: int):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / self.name
        _truncate(path, resume_step)
        self._file = open_to_append(path)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row; numbers that aren't finite become null, which JSON can say."""
        self._file.write(row_as_json({"step": step, **values}).encode())

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class MetricsWriter:
    """Passes rows on to loggers. One that fails is told of once, through `warn`; the others and the run go on."""

    def __init__(self, loggers: Sequence[Logger], warn: Callable[[str], None]):
        self._loggers, self._warn = loggers, warn
        self._failing: set[str] = set()
        self._recovered: set[str] = set()  # have taken a row since they failed

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        for logger in self._loggers:
            if self._try(logger, partial(logger.write, step, values)):
                self._recovered.add(logger.name)

    def flush(self) -> None:
        """Bring to disk what was written: before a checkpoint, after which nothing is written twice."""
        for logger in self._loggers:
            if self._try(logger, logger.flush) and logger.name in self._recovered:
                self._failing.discard(logger.name)

    def close(self) -> None:
        for logger in self._loggers:
            self._try(logger, logger.close)

    def _try(self, logger: Logger, do: Callable[[], None]) -> bool:
        try:
            do()
        except Exception as error:
            if logger.name not in self._failing:
                self._warn(f"metrics can't be written to {logger.name} ({error}); training goes on.")
            self._failing.add(logger.name)
            self._recovered.discard(logger.name)
            return False
        return True


def open_writer(folder: Path, config: Config, resume_step: int, warn: Callable[[str], None]) -> MetricsWriter:
    """All loggers that a run asks for. JSON lines must be possible; another that can't begin is told and left out."""
    continued = (folder / JsonLines.name).exists()
    loggers: list[Logger] = [JsonLines(folder, resume_step)]
    others: dict[str, Callable[[], Logger]] = {}
    if config.run.tensorboard:
        from reverie.training.tensorboard import TensorBoard

        others[TensorBoard.name] = lambda: TensorBoard(folder / "tensorboard", resume_step if continued else None)
    if config.run.wandb:
        from reverie.training.weights_and_biases import WeightsAndBiases

        others[WeightsAndBiases.name] = lambda: WeightsAndBiases(folder, config)
    for name, make in others.items():
        try:
            loggers.append(make())
        except Exception as error:
            warn(f"{name} can't be used ({error}); training goes on without.")
    return MetricsWriter(loggers, warn)


def _truncate(path: Path, step: int) -> None:
    if not path.exists():
        return
    write_text(path, "".join(row_as_json(row) for row in read_metrics(path.parent) if row["step"] <= step))
