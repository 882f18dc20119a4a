"""The real training loop on a fast, an image and a slow environment: rates, and where a second goes."""

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import tyro

from benchmarks.common import Size, report
from reverie.config import Config
from reverie.presets import SIZES
from reverie.training import train
from reverie.training.clock import PARTS


class Slow(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose step takes five milliseconds."""

    def step(self, action: Any) -> Any:
        time.sleep(0.005)
        return super().step(action)


def slow_cartpole(render_mode: str | None = None) -> gym.Env[Any, Any]:
    return Slow(gym.make("CartPole-v1", render_mode=render_mode))


ENVS: dict[str, str | Callable[..., Any]] = {
    "fast": "CartPole-v1",
    "image": "reverie/Catch-v0",
    "slow": slow_cartpole,
}


@dataclass(frozen=True)
class Settings:
    """Train for some seconds in every combination; what is compiled is warmed up and left out."""

    env: tuple[str, ...] = ("fast", "image", "slow")
    """Of fast (CartPole), image (Catch, 64×64×3) and slow (CartPole, 5 ms a step)."""
    train_ratio: tuple[float, ...] = (0.0, 32.0, 512.0)
    envs: tuple[int, ...] = (1, 4, 16)
    size: Size = "size1m"
    seconds: float = 20.0
    """Measured per combination."""
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    rows = []
    for env in settings.env:
        for ratio in settings.train_ratio:
            for envs in settings.envs:
                rows.append({"env": env, "train ratio": ratio, "envs": envs, **measure(settings, env, ratio, envs)})
                print(rows[-1], flush=True)
    report("loop", settings, rows, settings.output)


def measure(settings: Settings, env: str, ratio: float, envs: int) -> dict[str, float]:
    config = Config()
    run = replace(config.run, steps=10**9, train_ratio=ratio, log_every=1.0, checkpoint_every=1e9, tensorboard=False)
    config = replace(config, model=SIZES[settings.size], run=run, env=replace(config.env, envs=envs))
    begun: list[float] = []

    def enough(trainer: Any) -> bool:
        if not begun and (trainer.updates > 2 or ratio == 0):
            begun.append(time.perf_counter())
        return bool(begun) and time.perf_counter() - begun[0] >= settings.seconds

    with tempfile.TemporaryDirectory() as folder:
        train(ENVS[env], config, logdir=folder, quiet=True, until=enough)
        lines = map(json.loads, (Path(folder) / "metrics.jsonl").read_text().splitlines())
        rows = [row for row in lines if "rate/updates" in row and (row["updates"] > 2 or ratio == 0)][1:-1]
    mean = lambda name: float(np.mean([row[name] for row in rows]))  # noqa: E731
    shares = {f"{part} share": mean(f"time/{part}") for part in PARTS}
    return {
        "env steps/s": mean("rate/env_steps"),
        "updates/s": mean("rate/updates"),
        **shares,
        "other share": 1 - sum(shares.values()),
    }


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
