"""Years in minutes: short episodes, failing workers, saves and whole runs, again and again in one process.

Memory, open files, threads and child processes must stay as they are. Each row of the output is a run of some hundred
steps: opened, resumed, saved many times and closed. The first ones are a warm-up.
"""

import contextlib
import gc
import io
import os
import shutil
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import gymnasium as gym
import numpy as np

from benchmarks.attack.record import OUTPUT, Record
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.training import train

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8, capacity=2000),
    env=EnvConfig(envs=2, restarts=10**6),
    run=RunConfig(train_ratio=1, log_every=0.1, checkpoint_every=0.05, eval_every=200, eval_episodes=2, dream_every=5),
)
FIRST = 0.3  # share of the time that counts as a warm-up
MIB_PER_RUN = 1.0  # by which memory may grow: each run traces and loads its programs again


class Short(gym.Env[np.ndarray, np.int64]):
    """Episodes of one to three steps; one step in three hundred fails."""

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: object = None) -> tuple[np.ndarray, dict[str, float]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, float]]:
        if self.np_random.random() < 1 / 300:
            raise ConnectionError("the simulator is gone")
        ended = self.np_random.random() < 0.5
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), 1.0, ended, False, {"luck": 1.0}


@dataclass(frozen=True)
class Churn:
    """Open, train, save, close and resume runs for some minutes in one process."""

    minutes: float = 10
    work: Path = Path("/tmp/reverie-attack")
    """Folder for the runs."""
    output: Path = OUTPUT

    def __call__(self) -> None:
        record, rows, begin, number = Record(self.output, "churn"), list[dict[str, float]](), time.monotonic(), 0
        # Pauses before restarts would be most of the time.
        from reverie.envs import vector

        vector.FIRST_PAUSE = 0.01
        while time.monotonic() < begin + 60 * self.minutes:
            run = self.work / f"churn-{number // 5 % 2}"
            if number % 5 == 0:
                shutil.rmtree(run, ignore_errors=True)
            mode = ("serial", "serial", "serial", "serial", "parallel")[number % 5]
            config = replace(TINY, env=replace(TINY.env, mode=mode))
            home = ("memory", "disk")[number // 5 % 2]
            config = replace(config, replay=replace(config.replay, home=home))
            with contextlib.redirect_stdout(io.StringIO()):
                train(Short, config, steps=600 * (number % 5 + 1), logdir=run)
            gc.collect()
            rows.append({"at": time.monotonic() - begin, **_in_use()})
            number += 1
            print(f"\rchurn: {number} runs, {rows[-1]}", end="", flush=True)
        record.add(f"{time.time():.0f}", "runs in one process", judge(rows), runs=number, rows=rows)


def _in_use() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    tasks = [Path("/proc/self/task") / task / "children" for task in os.listdir("/proc/self/task")]
    children = sum(len(path.read_text().split()) for path in tasks if path.exists())
    return {
        "MiB": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "tasks": len(os.listdir("/proc/self/task")),
        "children": children,
    }


def judge(rows: list[dict[str, float]]) -> list[str]:
    """What has grown after the warm-up."""
    later = rows[int(FIRST * len(rows)) :]
    if len(later) < 6:
        return ["too few runs to judge"]
    problems = []
    for name in ("files", "threads", "tasks", "children"):
        if later[-1][name] > max(row[name] for row in later[:5]):
            problems.append(f"{name} grew from {later[0][name]:.0f} to {later[-1][name]:.0f}")
    grown = np.polyfit(range(len(later)), [row["MiB"] for row in later], 1)[0]
    if grown > MIB_PER_RUN:
        problems.append(f"memory grows by {grown:.2f} MiB per run")
    return problems
