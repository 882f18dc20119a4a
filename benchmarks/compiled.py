"""Steps per second of an environment written in JAX, inside the compiled program and stepped from Python."""

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.common import Size, report
from reverie.config import Config
from reverie.presets import SIZES
from reverie.training import train


@dataclass(frozen=True)
class Settings:
    """Train for a few seconds both ways with each number of environments, excluding compilation."""

    env: str = "craftax/classic"
    """An environment written in JAX."""
    envs: tuple[int, ...] = (16, 256, 1024)
    """Numbers of environments in the compiled program; from Python only those up to 16."""
    train_ratio: float = 0.0
    """With 0 the loop only acts, steps and records."""
    size: Size = "size1m"
    seconds: float = 20.0
    """Measured seconds per combination."""
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    rows = []
    for compiled in (False, True):
        for envs in settings.envs:
            if compiled or envs <= 16:
                how = "compiled" if compiled else "from Python"
                rows.append({"stepped": how, "envs": envs, "env steps/s": measure(settings, envs, compiled)})
                print(rows[-1], flush=True)
    report("compiled", settings, rows, settings.output)


def measure(settings: Settings, envs: int, compiled: bool) -> float:
    config = Config()
    config = replace(
        config,
        model=SIZES[settings.size],
        replay=replace(config.replay, home="device" if compiled else "memory", capacity=max(100_000, 100 * envs)),
        env=replace(config.env, envs=envs, mode="compiled" if compiled else "serial"),
        run=replace(
            config.run,
            steps=10**9,
            train_ratio=settings.train_ratio,
            log_every=1.0,
            checkpoint_every=1e9,
            dream_every=0,
            tensorboard=False,
        ),
    )
    begun: list[float] = []

    def enough(trainer: Any) -> bool:
        if not begun and (trainer.updates > 2 or settings.train_ratio == 0):
            begun.append(time.perf_counter())
        return bool(begun) and time.perf_counter() - begun[0] >= settings.seconds

    with tempfile.TemporaryDirectory() as folder:
        train(settings.env, config, logdir=folder, quiet=True, until=enough)
        lines = map(json.loads, (Path(folder) / "metrics.jsonl").read_text().splitlines())
        rows = [row for row in lines if "rate/env_steps" in row and (row["updates"] > 2 or settings.train_ratio == 0)]
    counted = rows[1:-1] or rows[1:] or rows  # the first includes compilation; a long program leaves few rows
    return float(np.mean([row["rate/env_steps"] for row in counted]))


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
