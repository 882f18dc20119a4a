"""The main thread's CPU time per update in the training loop, with an update that computes nothing."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp

from reverie.config import Config
from reverie.learner import Learner, LearnerState, UpdateOutput
from reverie.training.callbacks import Run
from reverie.training.trainer import Trainer

WARMUP = 100  # updates before measuring


class Parts:
    """Adds up the thread's CPU time in named functions; a function that runs inside of another counts for itself."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._since, self._running = time.thread_time(), ["other"]

    def split(self) -> dict[str, float]:
        """Seconds by part since the last call."""
        self._switch()
        spent, self.spent = self.spent, Counter()
        return dict(spent)

    def watch(self, part: str, owner: Any, *names: str) -> None:
        """Replace methods of an object so that their time counts for a part."""
        for name in names:
            setattr(owner, name, self._timed(part, getattr(owner, name)))

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any, **keywords: Any) -> Any:
            self._switch()
            self._running.append(part)
            try:
                return function(*arguments, **keywords)
            finally:
                self._switch()
                self._running.pop()

        return timed

    def _switch(self) -> None:
        now = time.thread_time()
        self.spent[self._running[-1]] += now - self._since
        self._since = now


@contextmanager
def no_compute() -> Iterator[None]:
    """Let updates return their state, zeros of the outputs' shapes, and that the update was applied."""
    real = Learner.update

    def update(learner: Learner, state: LearnerState, batch: Any, key: Any) -> tuple[LearnerState, UpdateOutput]:
        like = jax.eval_shape(partial(real, learner), state, batch, key)[1]
        # Not quite nothing: what takes no arithmetic, JAX would run on the main thread of a CPU.
        zero = 0 * jnp.square(batch.reward).sum()
        output = jax.tree.map(lambda x: jnp.full(x.shape, zero, x.dtype), like)
        return state._replace(updates=state.updates + 1), output._replace(finite=jnp.ones((), bool))

    with patch.object(Learner, "update", update):
        yield


class Rows:
    """A callback that splits the time by rows of metrics, and stops the run after some updates.

    Attributes:
        rows: milliseconds per update by part, of each interval between two rows.
    """

    def __init__(self, parts: Parts, updates: int) -> None:
        self.rows: list[dict[str, float]] = []
        self._parts, self._updates, self._last = parts, updates, 0

    def on_log(self, run: Run, row: Mapping[str, float]) -> None:
        """End an interval; those of the first updates compile."""
        spent, count, self._last = self._parts.split(), run.updates - self._last, run.updates
        if count and run.updates - count > WARMUP:
            self.rows.append({part: 1e3 * seconds / count for part, seconds in spent.items()})
        if run.updates >= WARMUP + self._updates:
            run.stop()


def cpu_time(env: Any, config: Config, folder: Path, updates: int) -> dict[str, float]:
    """Milliseconds of the main thread's CPU time per update, in all and by part: medians over rows of metrics.

    The whole is from a run of its own, because watching the parts takes some microseconds for each call.
    """
    whole = [sum(row.values()) for row in measured(env, config, folder / "whole", updates, split=False)]
    rows = measured(env, config, folder / "parts", updates, split=True)
    named = dict.fromkeys(part for row in rows for part in row)
    parts = {part: statistics.median(row.get(part, 0.0) for row in rows) for part in named}
    return {"ms per update": statistics.median(whole), **parts}


def measured(env: Any, config: Config, folder: Path, updates: int, *, split: bool) -> list[dict[str, float]]:
    """Milliseconds per update by part, of each row of metrics of a run."""
    parts = Parts()
    rows = Rows(parts, updates)
    with no_compute():
        trainer = Trainer(env, config, logdir=folder, quiet=True)
        try:
            if split:
                loop = trainer.loop
                parts.watch("act", loop, "_act")
                parts.watch("update", loop, "_update")
                parts.watch("sample", loop.replay, "sample")
                parts.watch("write back", loop, "_write_back")
                parts.watch("step envs", trainer._envs, "step")
                parts.watch("record", loop.replay, "add")
                parts.watch("report", trainer._report, "update", "row", "write")
            trainer.run(callbacks=[rows])
        finally:
            trainer.close()
    return rows.rows
