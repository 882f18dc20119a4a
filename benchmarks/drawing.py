"""Time MuJoCo's 64 × 64 frames with standard and fast rendering, and measure how much they differ."""

import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import tyro

from benchmarks.common import report
from reverie.envs import make_env


@dataclass(frozen=True)
class Settings:
    """Step two copies of each DeepMind Control task alternately, one with each kind of rendering."""

    tasks: tuple[str, ...] = ("walker_walk", "reacher_easy", "ball_in_cup_catch", "quadruped_walk")
    steps: int = 200
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    rows = []
    for task in settings.tasks:
        plain, fast = (make_env(f"dmc_vision/{task}", fast_drawing=asked) for asked in (False, True))
        plain.action_space.seed(0)
        plain.reset(seed=0)
        fast.reset(seed=0)
        times, differences = [], []
        for _ in range(settings.steps):
            action = plain.action_space.sample()
            (slow_time, one), (fast_time, other) = timed_step(plain, action), timed_step(fast, action)
            times.append((slow_time, fast_time))
            differences.append(np.abs(one.astype(int) - other).mean())
        slow, fast_one = (1e3 * median(column) for column in zip(*times, strict=True))
        rows.append(
            {
                "task": task,
                "step ms": slow,
                "drawn fast ms": fast_one,
                "ratio": slow / fast_one,
                "difference of 255": float(np.mean(differences)),
            }
        )
    report("drawing", settings, rows, settings.output)


def timed_step(env, action) -> tuple[float, np.ndarray]:
    """Seconds that the step took, and its frame."""
    start = time.perf_counter()
    observation, *_ = env.step(action)
    return time.perf_counter() - start, observation["image"]


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
