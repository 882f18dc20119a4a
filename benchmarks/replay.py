"""Time sampling 16 × 65 records and writing latents back, for small and large replay buffers in each home.

Updates of the smallest model are timed in between for comparison. To measure more data than fits into memory, give
the process less memory than the records need (for instance in a container) and choose `--homes disk`.
"""

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from benchmarks.common import Input, quartiles, report, workload
from reverie.compiling import compiler_options
from reverie.config import Config
from reverie.experience import Experience
from reverie.replay import Home, Replay


@dataclass(frozen=True)
class Settings:
    """Fill replay buffers, then time samples from them alternately, so that machine drift affects all alike."""

    input: Input = "vector"
    records: tuple[int, ...] = (10_000, 1_000_000)
    """64×64×3 images take 13 GB per million records."""
    homes: tuple[Home, ...] = ("memory",)
    folder: Path | None = None
    """Folder for files; the system's temporary folder by default."""
    envs: int = 4
    repeats: int = 200
    updates: int = 10
    """Number of updates of size1m on vectors to compare with; 0 for none."""
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    with tempfile.TemporaryDirectory(dir=settings.folder) as folder:
        replays = {
            (home, count): filled(settings, home, count, Path(folder))
            for home in settings.homes
            for count in settings.records
        }
        update = an_update() if settings.updates else None
        model = Config().model
        latents = jnp.zeros((16, 64, model.deter), jnp.bfloat16), jnp.zeros((16, 64, model.groups), jnp.uint8)
        sampling, writing, updating = defaultdict(list), defaultdict(list), []
        for repeat in range(settings.repeats):
            if update and repeat % -(-settings.repeats // settings.updates) == 0:
                updating.append(timed(update)[0])
            for key, replay in replays.items():
                took, sample = timed(lambda replay=replay: replay.sample(16))
                sampling[key].append(took)
                writing[key].append(timed(partial(replay.write_latents, sample.rows, *latents))[0])
        median = quartiles(updating)["median"] if updating else None
        rows = []
        for (home, count), replay in replays.items():
            row = {"home": home, "records": count, "bytes per record": replay.nbytes_per_record}
            row |= {f"sample {name} ms": value for name, value in quartiles(sampling[home, count]).items()}
            row |= {f"write {name} ms": value for name, value in quartiles(writing[home, count]).items()}
            if median:
                row |= {"update median ms": median, "sample / update": row["sample median ms"] / median}
            rows.append(row)
        report("replay", settings, rows, settings.output)


def an_update() -> Callable[[], Any]:
    learner, batch = workload("size1m", "vector")
    state = learner.fresh(jax.random.key(0))
    update = jax.jit(learner.update, compiler_options=compiler_options())
    once = partial(update, state, batch, jax.random.key(0))
    jax.block_until_ready(once())
    return once


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds until the result is ready, and the result."""
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    return 1e3 * (time.perf_counter() - start), result


def filled(settings: Settings, home: Home, count: int, folder: Path) -> Replay:
    """A full replay buffer of random numbers."""
    rng, model = np.random.default_rng(0), Config().model
    observation: dict[str, np.ndarray] = {}
    if settings.input in ("vector", "both"):
        observation["vector"] = np.zeros(24, np.float32)
    if settings.input in ("pixels", "both"):
        observation["image"] = np.zeros((64, 64, 3), np.uint8)
    flag = np.zeros((), bool)
    template = Experience(
        observation=observation,
        action={"action": np.zeros(6, np.float32)},
        reward=np.zeros((), np.float32),
        is_first=flag,
        is_last=flag,
        is_terminal=flag,
        deter=np.zeros(model.deter, jnp.bfloat16),
        stoch=np.zeros(model.groups, np.uint8),
    )
    replay = Replay(
        template, capacity=count, num_envs=settings.envs, sequence=65, online=False, home=home, folder=folder
    )
    record = jax.tree.map(
        lambda leaf: rng.integers(0, 2, (settings.envs, *leaf.shape)).astype(leaf.dtype),
        template,
    )._replace(is_first=np.zeros(settings.envs, bool))
    for _ in range(count // settings.envs):
        replay.add(record)
    return replay


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
