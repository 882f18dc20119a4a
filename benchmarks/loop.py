"""Measure the training loop against bare environments: rates, the loop's cost per step, and shares of time.

With `--no-compute`, measure instead what the loop itself costs: the main thread's CPU time per update, when the update
computes nothing.
"""

import itertools
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
import tyro
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv, VectorEnv

from benchmarks.common import MODELS, Size, report
from benchmarks.overhead import cpu_time
from reverie.config import Config
from reverie.envs import make_env
from reverie.envs.suites import missing
from reverie.replay import Home
from reverie.training import train
from reverie.training.clock import PARTS

Mode = Literal["serial", "parallel", "async"]


class Slow(gym.Wrapper[Any, Any, Any, Any]):
    """Delays each step by some seconds; with `one_in`, only in one of that many environments with consecutive seeds."""

    def __init__(self, env: gym.Env[Any, Any], seconds: float, one_in: int = 1) -> None:
        super().__init__(env)
        self._seconds, self._one_in, self._slow = seconds, one_in, True

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        if seed is not None:
            self._slow = seed % self._one_in == 0
        return super().reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        if self._slow:
            time.sleep(self._seconds)
        return super().step(action)


def slow(render_mode: str | None = None) -> gym.Env[Any, Any]:
    return Slow(gym.make("CartPole-v1", render_mode=render_mode), 0.005)


def uneven(render_mode: str | None = None) -> gym.Env[Any, Any]:
    return Slow(gym.make("CartPole-v1", render_mode=render_mode), 0.05, one_in=4)


ENVS: dict[str, str | Callable[..., Any]] = {
    "fast": "CartPole-v1",
    "image": "reverie/Catch-v0",
    "crafter": "crafter",
    "slow": slow,
    "uneven": uneven,
}


@dataclass(frozen=True)
class Settings:
    """Train for a few seconds with each combination of settings, excluding compilation."""

    env: tuple[str, ...] = ("fast", "image", "crafter", "slow", "uneven")
    """fast (CartPole), image (Catch, 64×64×3), crafter (if installed), slow (CartPole, 5 ms a step) and uneven
    (CartPole, one of four takes 50 ms a step; always in parallel workers, in lockstep and asynchronously)."""
    train_ratio: tuple[float, ...] = (0.0, 32.0, 512.0)
    envs: tuple[int, ...] = (1, 4, 16)
    mode: tuple[Mode, ...] = ("serial",)
    """How environments other than uneven are stepped: serial, parallel, async."""
    size: Size = "size1m"
    home: Home = "memory"
    """Where replay lives."""
    seconds: float = 20.0
    """Measured seconds per combination."""
    no_compute: bool = False
    """Measure the main thread's CPU time per update with an update that computes nothing."""
    updates: int = 5000
    """Measured updates per combination, with `no_compute`."""
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    if settings.no_compute:
        report("loop-no-compute", settings, list(overheads(settings)), settings.output)
        return
    rows = []
    for env in settings.env:
        if env == "crafter" and missing("crafter"):
            print("crafter is not installed; skipped")
            continue
        modes = ("parallel", "async") if env == "uneven" else settings.mode
        for mode, envs in itertools.product(modes, [n for n in settings.envs if env != "uneven" or n % 4 == 0]):
            bare = bare_rate(env, mode, envs, settings.seconds / 4)
            for ratio in settings.train_ratio:
                row = {"env": env, "mode": mode, "train ratio": ratio, "envs": envs, "bare steps/s": bare}
                rows.append(row | measure(settings, env, mode, ratio, envs))
                if ratio == 0:
                    rows[-1]["loop adds µs/step"] = 1e6 * (1 / rows[-1]["env steps/s"] - 1 / bare)
                print(rows[-1], flush=True)
    report("loop", settings, rows, settings.output)


def bare_rate(env: str, mode: Mode, envs: int, seconds: float) -> float:
    """Steps per second of Gymnasium's own vector environment with random actions; worker processes run in lockstep."""
    makers = [partial(make_env, ENVS[env])] * envs
    vector: VectorEnv[Any, Any, Any]
    vector = SyncVectorEnv(makers) if mode == "serial" else AsyncVectorEnv(makers, context="spawn")
    vector.action_space.seed(0)
    actions = [vector.action_space.sample() for _ in range(64)]
    vector.reset(seed=0)
    ended, steps = np.zeros(envs, bool), 0
    begun = time.perf_counter()
    for action in itertools.cycle(actions):
        _, _, terminated, truncated, _ = vector.step(action)
        steps += int(np.sum(~ended))  # a step after the end of an episode is a reset
        ended = terminated | truncated
        if time.perf_counter() - begun >= seconds:
            break
    rate = steps / (time.perf_counter() - begun)
    vector.close()
    return rate


def measure(settings: Settings, env: str, mode: Mode, ratio: float, envs: int) -> dict[str, float]:
    """Rates and shares of time of the training loop."""
    config = loop_config(settings, mode, ratio, envs)
    begun: list[float] = []

    def enough(trainer: Any) -> bool:
        if not begun and (trainer.updates > 2 or ratio == 0):
            begun.append(time.perf_counter())
        return bool(begun) and time.perf_counter() - begun[0] >= settings.seconds

    with tempfile.TemporaryDirectory() as folder:
        train(ENVS[env], config, logdir=folder, quiet=True, until=enough)
        lines = map(json.loads, (Path(folder) / "metrics.jsonl").read_text().splitlines())
        rows = [row for row in lines if "rate/updates" in row and (row["updates"] > 2 or ratio == 0)]
    rows = rows[1:-1] or rows  # the first includes compilation, the last is short
    mean = lambda name: float(np.mean([row[name] for row in rows]))  # noqa: E731
    shares = {f"{part} share": mean(f"time/{part}") for part in PARTS if part != "eval"}
    return {
        "env steps/s": mean("rate/env_steps"),
        "updates/s": mean("rate/updates"),
        "act ms": mean("latency/act_ms"),
        **shares,
        "other share": 1 - sum(shares.values()),
    }


def overheads(settings: Settings) -> Iterator[dict[str, Any]]:
    """The loop's own cost per update, for each combination of settings with updates."""
    combinations = itertools.product(settings.env, settings.mode, settings.envs, filter(None, settings.train_ratio))
    for env, mode, envs, ratio in combinations:
        config = loop_config(settings, mode, ratio, envs)
        with tempfile.TemporaryDirectory() as folder:
            row = {"env": env, "mode": mode, "train ratio": ratio, "envs": envs}
            row |= cpu_time(ENVS[env], config, Path(folder), settings.updates)
        print(row, flush=True)
        yield row


def loop_config(settings: Settings, mode: Mode, ratio: float, envs: int) -> Config:
    """An unlimited run without checkpoints and pictures."""
    config = Config()
    run = replace(
        config.run,
        steps=10**9,
        train_ratio=ratio,
        log_every=1.0,
        checkpoint_every=1e9,
        dream_every=0,
        tensorboard=False,
    )
    return replace(
        config,
        model=MODELS[settings.size],
        replay=replace(config.replay, capacity=200_000, home=settings.home),  # the run is unlimited
        run=run,
        env=replace(config.env, envs=envs, mode=mode),
    )


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
