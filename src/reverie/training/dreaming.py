"""Open-loop predictions at intervals of a run: their errors become metrics, their pictures go to the run's folder.

Predictions do not affect training: they draw sequences and samples with generators of their own. May import: `dreams`,
`clock`, `learning`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reverie.dreams import HORIZONS, Album, OpenLoop, open_loop
from reverie.learner import compute_dtype
from reverie.spaces import Image
from reverie.training.clock import Clock
from reverie.training.learning import LearningLoop

SHOWN = 6  # sequences that are drawn


class Dreams:
    """Predictions of a run's world model every `every` seconds, or never for 0.

    `warn` is called once for predictions that fail; training continues.
    """

    def __init__(self, folder: Path, loop: LearningLoop[Any], every: float, warn: Callable[[str], None]) -> None:
        self._album, self._loop, self._every, self._warn = Album(folder), loop, every, warn
        self._last, self._dreamed, self._failing = Clock(), loop.updates, False
        self._warned_missing = False

    def due(self, *, last: bool = False) -> bool:
        """Whether it is time for a prediction; at the `last` opportunity, whether there were updates since the last."""
        learned = self._loop.updates > self._dreamed and self._loop.replay.ready()
        return bool(self._every) and learned and (last or self._last.elapsed >= self._every)

    def dream(self) -> dict[str, float]:
        """Draw a prediction and return its errors by horizon, `open_loop/…`; never raises."""
        self._last, self._dreamed = Clock(), self._loop.updates
        errors: dict[str, float] = {}
        try:
            dream = self._predict()
            errors = _metrics(dream.error)
            self._draw(dream)
            self._failing = False
        except Exception as error:
            if not self._failing:
                self._warn(f"the open-loop prediction failed ({error}); training continues.")
            self._failing = True
        return errors

    def _predict(self) -> OpenLoop:
        """Predict as many sequences as a batch has; only those that are drawn are fetched."""
        loop, config = self._loop, self._loop.config
        seed = (config.seed, loop.updates)
        batch = loop.replay.peek(config.replay.batch, np.random.default_rng(seed))
        key = jax.random.fold_in(jax.random.key(config.seed), loop.updates)
        dtype, discount = compute_dtype(config.model), config.behaviour.discount
        dream = open_loop(loop.state.networks.world_model, batch, key, discount=discount, dtype=dtype)
        drawn = jax.tree.map(lambda x: x[:SHOWN], dream._replace(error={}))
        return jax.device_get(drawn._replace(error=dream.error))

    def _draw(self, dream: OpenLoop) -> None:
        images = any(isinstance(feature, Image) for feature in self._loop.agent.spaces.observation.values())
        if not self._warned_missing and (missing := self._album.missing(images)):
            self._warn(missing)
        self._warned_missing = True
        self._album.add(self._loop.env_steps, dream)


def _metrics(errors: dict[str, np.ndarray]) -> dict[str, float]:
    """The finite errors by name and horizon."""
    return {
        f"open_loop/{name}/{horizon}": float(error[horizon])
        for name, error in errors.items()
        for horizon in HORIZONS
        if horizon < len(error) and np.isfinite(error[horizon])
    }
