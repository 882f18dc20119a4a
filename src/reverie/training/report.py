"""What a run measures on its way, to the terminal and to files.

May import: `clock`, `display`, `evaluation`, `metrics`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from reverie.training.clock import Clock
from reverie.training.display import Display
from reverie.training.evaluation import Evaluation
from reverie.training.metrics import MetricsWriter


class Report:
    """Collects the metrics of updates and writes their means at intervals.

    `clock` counts where the time goes; its shares are those since the last report.
    """

    def __init__(
        self, display: Display, writer: MetricsWriter | None, clock: Clock, env_steps: int, updates: int
    ) -> None:
        self._display, self._writer, self._clock = display, writer, clock
        self._metrics: list[tuple[dict[str, jax.Array], jax.Array]] = []  # of all updates since the last report
        self._reported = (env_steps, updates)

    def add(self, metrics: dict[str, jax.Array], finite: jax.Array) -> None:
        """An update's metrics, and whether it was made; the device may still be computing them."""
        self._metrics.append((metrics, finite))

    def episode(self, env_steps: int, value: float, length: int) -> None:
        """An episode that ended."""
        self.scalars(env_steps, {"episode/return": value, "episode/length": float(length)})

    def scalars(self, env_steps: int, values: Mapping[str, float]) -> None:
        """A row of its own, for the files alone."""
        if self._writer is not None and values:
            self._writer.write(env_steps, values)

    def evaluation(self, env_steps: int, result: Evaluation) -> None:
        """Episodes that were played beside training."""
        row = {"return": result.mean, "return_std": result.std, "length": result.mean_length}
        row |= {"episodes": float(len(result.returns))}
        self.scalars(env_steps, {f"eval/{name}": value for name, value in row.items()})
        self._display.note(f"Evaluated at step {env_steps:,}: {result}")

    def flush(self) -> None:
        """Bring to disk what was written: before a checkpoint, after which nothing is written twice."""
        if self._writer is not None:
            self._writer.flush()

    def write(
        self, env_steps: int, updates: int, values: Mapping[str, float], returns: Sequence[float], *, last: bool = False
    ) -> None:
        """A row: means over the updates since the last one, without skipped ones, `values`, rates and shares of time.

        The update that the device is at belongs to the next row, so nobody waits for it, unless this is the `last` row,
        which covers too short a time to speak of rates.
        """
        if last and not self._metrics and self._reported == (env_steps, updates):
            return
        finished = len(self._metrics) if last else max(0, len(self._metrics) - 1)
        with self._clock.measure("learn"):
            fetched: list[tuple[dict[str, Any], Any]] = jax.device_get(self._metrics[:finished])
        self._metrics = self._metrics[finished:]
        counted = [metrics for metrics, finite in fetched if finite]
        row = {name: float(np.mean([update[name] for update in counted])) for name in (counted[0] if counted else {})}
        if fetched:
            row["opt/skipped"] = float(len(fetched) - len(counted))
        row |= {"updates": float(updates), **values}
        if not last:
            row |= self._pace(env_steps, updates)
        self._reported = (env_steps, updates)
        with self._clock.measure("log"):
            self.scalars(env_steps, row)
            self.flush()
            self._display.update(env_steps, row, list(returns))

    def _pace(self, env_steps: int, updates: int) -> dict[str, float]:
        seconds = max(self._clock.elapsed, 1e-9)
        rates = {
            "rate/env_steps": (env_steps - self._reported[0]) / seconds,
            "rate/updates": (updates - self._reported[1]) / seconds,
            "latency/act_ms": self._clock.milliseconds("act"),
        }
        return rates | {f"time/{part}": share for part, share in self._clock.shares().items()}
