"""Replay: what a sample of 16 × 65 records and its write-back cost, in a small and in a large replay."""

import time
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.common import Input, quartiles, report
from reverie.config import Config
from reverie.experience import Experience
from reverie.replay import Replay


@dataclass(frozen=True)
class Settings:
    """Fill a replay with zeros, then time draws from it."""

    input: Input = "vector"
    records: tuple[int, ...] = (10_000, 1_000_000)
    """64×64×3 images take 13 GB per million records."""
    envs: int = 4
    repeats: int = 200
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    replays = {count: filled(settings, count) for count in settings.records}
    rows = []
    # In turn, so that drift of the machine falls on all alike.
    times: dict[int, tuple[list[float], list[float]]] = {count: ([], []) for count in replays}
    for _ in range(settings.repeats):
        for count, replay in replays.items():
            start = time.perf_counter()
            sample = replay.sample(16)
            drawn = time.perf_counter()
            trained = sample.experience
            replay.write_latents(sample.rows, trained.deter[:, 1:], trained.stoch[:, 1:])
            written = time.perf_counter()
            times[count][0].append(1e3 * (drawn - start))
            times[count][1].append(1e3 * (written - drawn))
    for count, (sampling, writing) in times.items():
        row = {"records": count, "bytes per record": replays[count].nbytes_per_record}
        row |= {f"sample {name} ms": value for name, value in quartiles(sampling).items()}
        row |= {f"write {name} ms": value for name, value in quartiles(writing).items()}
        rows.append(row)
    report("replay", settings, rows, settings.output)


def filled(settings: Settings, count: int) -> Replay:
    model, zeros = Config().model, lambda *shape: np.zeros((settings.envs, *shape), np.float32)
    observation: dict[str, np.ndarray] = {}
    if settings.input in ("vector", "both"):
        observation["vector"] = zeros(24)
    if settings.input in ("pixels", "both"):
        observation["image"] = np.zeros((settings.envs, 64, 64, 3), np.uint8)
    flag = np.zeros(settings.envs, bool)
    record = Experience(
        observation=observation,
        action={"action": zeros(6)},
        reward=zeros(),
        is_first=flag,
        is_last=flag,
        is_terminal=flag,
        deter=np.zeros((settings.envs, model.deter), jnp.bfloat16),
        stoch=np.zeros((settings.envs, model.groups), np.uint8),
    )
    one = Experience(*({k: v[0] for k, v in x.items()} if isinstance(x, dict) else x[0] for x in record))
    replay = Replay(one, capacity=count, num_envs=settings.envs, sequence=65, online=False)
    for _ in range(count // settings.envs):
        replay.add(record)
    return replay


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
