"""What a run measures, to the display and to the loggers.

May import: `results`, `text`, and of `training` `clock`, `display`, `episodes`, `evaluation` and `metrics`.
"""

import re
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reverie.learner import UpdateOutput
from reverie.results import write_report
from reverie.text import counted
from reverie.training.clock import Clock
from reverie.training.display import Display, Status, duration
from reverie.training.episodes import Episode, Episodes
from reverie.training.evaluation import Evaluation
from reverie.training.metrics import MetricsWriter


class Report:
    """Collects metrics and writes a row of their means for each logging interval.

    Args:
        display: shows each row.
        writer: writes it; None for a run without a folder.
        clock: measures where the time goes; its shares are those since the last row.
        steps: environment steps of the whole run.
        env_steps: environment steps so far.
        updates: updates so far.
        info: regular expression: which numbers of the infos of finished episodes become metrics.
    """

    def __init__(
        self,
        display: Display,
        writer: MetricsWriter | None,
        clock: Clock,
        steps: int,
        env_steps: int,
        updates: int,
        info: str,
    ) -> None:
        self._display, self._writer, self._clock, self._steps = display, writer, clock, steps
        self._updates: list[tuple[Mapping[str, jax.Array], jax.Array]] = []  # metrics and `finite`, since the last row
        self._recorded: dict[str, list[float]] = defaultdict(list)  # likewise, from callbacks and infos
        self._keep_info = re.compile(info)
        self._reported = (env_steps, updates)
        self._begun = updates
        self._paced: tuple[int, float] | None = None  # steps and time at the first row after an update was compiled

    def update(self, output: UpdateOutput) -> None:
        """Count an update's metrics in the next row; the device may still be computing them."""
        self._updates.append((output.metrics, output.finite))

    def record(self, name: str, value: float) -> None:
        """Count a number in the next row, which has the mean of all that were recorded under its name."""
        self._recorded[name].append(value)

    def episode(self, env_steps: int, episode: Episode) -> None:
        """Write the row of an episode that ended."""
        row = {"episode/return": episode.total_reward, "episode/length": float(episode.length)}
        self.scalars(env_steps, row)
        for name, value in episode.info.items():
            if self._keep_info.fullmatch(name):
                self.record(f"episode/info/{name}", value)

    def scalars(self, env_steps: int, values: Mapping[str, float]) -> None:
        """Write a row to the loggers alone."""
        if self._writer is not None and values:
            self._writer.write(env_steps, values)

    def evaluation(self, env_steps: int, result: Evaluation) -> None:
        """Write and show an evaluation."""
        row = {"return": result.mean, "return_std": result.std, "length": result.mean_length}
        row |= {"episodes": float(len(result.returns))}
        self.scalars(env_steps, {f"eval/{name}": value for name, value in row.items()})
        self._display.note(f"Evaluated at step {env_steps:,}: {result}")

    def flush(self) -> None:
        """Bring all rows to disk; needed before a checkpoint, after which they are not written again."""
        if self._writer is not None:
            self._writer.flush()

    def due(self, env_steps: int, updates: int) -> bool:
        """Whether anything happened since the last row."""
        return bool(self._updates or self._recorded) or self._reported != (env_steps, updates)

    def row(self, env_steps: int, updates: int, values: Mapping[str, float], *, last: bool = False) -> dict[str, float]:
        """The next row: `values`, means over the updates since the last row, rates and shares of time.

        Skipped updates are left out of the means. The update that the device is computing belongs to the next row, so
        that nothing waits for it. The `last` row includes it, and has no rates, for it covers too short a time.
        """
        row = self._means(len(self._updates) if last else max(0, len(self._updates) - 1))
        row |= {"updates": float(updates), **values}
        if not last:
            row |= self._pace(env_steps, updates)
        self._reported = (env_steps, updates)
        return row

    def write(self, env_steps: int, row: Mapping[str, float], episodes: Episodes, missing: int | None = 0) -> None:
        """Write and show a row, with the numbers that callbacks have recorded.

        Args:
            env_steps: environment steps so far.
            row: of `row`.
            episodes: those so far.
            missing: records that replay still lacks before updates begin; None for a run without updates.
        """
        row = {**row, **{name: float(np.mean(numbers)) for name, numbers in self._recorded.items()}}
        self._recorded.clear()
        left = self._left(env_steps, row["updates"], missing) if "rate/env_steps" in row else ""
        with self._clock.measure("log"):
            self.scalars(env_steps, row)
            self.flush()
            self._display.update(Status(env_steps, row, list(episodes.recent), episodes.running, left))

    def _means(self, finished: int) -> dict[str, float]:
        """Means over the first `finished` updates since the last row, which are then forgotten."""
        with self._clock.measure("learn"):
            fetched: list[tuple[Mapping[str, Any], Any]] = jax.device_get(self._updates[:finished])
        self._updates = self._updates[finished:]
        applied = [metrics for metrics, finite in fetched if finite]
        row: dict[str, float] = {}
        if applied:
            numbers = np.array([list(metrics.values()) for metrics in applied])  # (updates, metrics)
            row = dict(zip(applied[0], np.ascontiguousarray(numbers.T).mean(axis=-1).tolist(), strict=True))
        if fetched:
            row["opt/skipped"] = float(len(fetched) - len(applied))
        return row

    def _pace(self, env_steps: int, updates: int) -> dict[str, float]:
        seconds = max(self._clock.elapsed, 1e-9)
        rates = {
            "rate/env_steps": (env_steps - self._reported[0]) / seconds,
            "rate/updates": (updates - self._reported[1]) / seconds,
            "latency/act_ms": self._clock.milliseconds("act"),
        }
        return rates | {f"time/{part}": share for part, share in self._clock.shares().items()}

    def page(self, folder: Path) -> None:
        """Write the run's report.html; a page is never worth the run, so an error is a warning."""
        self.flush()
        try:
            write_report(folder)
        except Exception as error:
            self._display.warn(f"report.html could not be written ({error}).")

    def _left(self, env_steps: int, updates: float, missing: int | None) -> str:
        """How long the rest of the run will take, by the steps since its first update, without the time to compile."""
        if missing:
            return f"waiting for {counted(missing, 'more record')}, then updates begin"
        now = time.perf_counter()
        if self._paced is None and (missing is None or updates > self._begun):
            self._paced = env_steps, now
        begun, since = self._paced or (env_steps, now)
        if env_steps == begun or now <= since:
            return "measuring the pace"
        return f"about {duration(max(0, self._steps - env_steps) * (now - since) / (env_steps - begun))} left"
