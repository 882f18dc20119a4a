"""The main thread's CPU time per update in the training loop, with an update that computes nothing."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp

from reverie.config import Config
from reverie.learner import Learner, LearnerState, UpdateOutput
from reverie.training.trainer import Trainer

WARMUP, BLOCK = 200, 100  # updates before measuring, and per block


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
        output = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
        return state._replace(updates=state.updates + 1), output._replace(finite=jnp.ones((), bool))

    with patch.object(Learner, "update", update):
        yield


def cpu_time(env: Any, config: Config, folder: str, updates: int) -> dict[str, float]:
    """Milliseconds of the main thread's CPU time per update, in all and by part: medians over blocks of updates."""
    parts, blocks, last = Parts(), [], 0

    def measured(trainer: Trainer) -> bool:
        nonlocal last
        if trainer.updates - last >= BLOCK:
            spent, count, last = parts.split(), trainer.updates - last, trainer.updates
            if trainer.updates > WARMUP:
                blocks.append({part: 1e3 * seconds / count for part, seconds in spent.items()})
        return trainer.updates >= WARMUP + updates

    with no_compute():
        trainer = Trainer(env, config, logdir=folder, quiet=True)
        try:
            loop = trainer.loop
            parts.watch("act", loop, "_act")
            parts.watch("update", loop, "_update")
            parts.watch("sample", loop.replay, "sample")
            parts.watch("write back", loop, "_write_back")
            parts.watch("step envs", trainer._envs, "step")
            parts.watch("record", loop.replay, "add")
            parts.watch("report", trainer._report, "update", "row", "write")
            trainer.run(until=measured)
        finally:
            trainer.close()
    named = dict.fromkeys(part for block in blocks for part in block)
    medians = {part: statistics.median(block.get(part, 0.0) for block in blocks) for part in named}
    return {"ms per update": statistics.median(sum(block.values()) for block in blocks), **medians}
