"""Kill a training run again and again, at random moments, and see that it always goes on from its last checkpoint.

    python -m benchmarks.soak --kills 200

After every kill the newest checkpoint must be readable in all its parts and no older than the one before; the run
must continue from it, and in the end its metrics must count every step once.
"""

import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.common import report
from reverie.storage import Checkpoint, DamagedFileError, Store
from reverie.training.metrics import read_metrics

ENV = "reverie/CatchVector-v0"
SMALL = {
    "model.deter": 16,
    "model.hidden": 8,
    "model.depth": 2,
    "model.units": 16,
    "model.groups": 4,
    "model.blocks": 4,
    "behaviour.imagination-length": 3,
    "replay.batch": 2,
    "replay.length": 8,
    "env.envs": 2,
    "run.train-ratio": 4,
    "run.log-every": 0.2,
    "run.checkpoint-every": 0.05,
    "run.steps": 10**6,
}


@dataclass(frozen=True)
class Settings:
    """How often and how soon."""

    kills: int = 200
    longest: float = 2.0
    """Seconds that a run gets at most, from its first sign of life."""
    seed: int = 0
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    chance, rows = random.Random(settings.seed), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        store, newest = Store(run / "checkpoints"), -1
        for kill in range(settings.kills):
            wait = chance.uniform(0, settings.longest)
            said = _train_and_kill(run, wait)
            damaged = []
            for count in store.counts:
                if problem := _problem(store, count):
                    damaged.append(problem)
            counts = store.counts
            if damaged or not counts or counts[0] < newest or ("Continuing" not in said and kill):
                sys.exit(f"After kill {kill}: {damaged=}, {counts=}, newest before: {newest}. The run said:\n{said}")
            rows.append({"kill": kill, "seconds": wait, "checkpoint": counts[0], "new": counts[0] > newest})
            newest = counts[0]
            print(f"\r{kill + 1} kills, checkpoint {newest}", end="", flush=True)
        steps = [row["step"] for row in read_metrics(run) if "opt/loss" in row]
        if steps != sorted(set(steps)):
            sys.exit("The metrics count steps twice.")
        store.close()
    unfinished = sum(not row["new"] for row in rows)
    print()
    summary = {"kills": len(rows), "damaged": 0, "went back": 0, "without a new checkpoint": unfinished}
    report("soak", settings, [summary | {"checkpoint": newest}], settings.output)


def _train_and_kill(run: Path, wait: float) -> str:
    """Kill the process some time after it shows that it trains; what it said until then."""
    command = [sys.executable, "-m", "reverie", "train", ENV, "--logdir", str(run), "--run.no-tensorboard"]
    command += [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith("step "):
            break
    else:
        sys.exit(f"The run ended by itself:\n{said}")
    time.sleep(wait)
    process.kill()
    process.wait()
    return said


def _problem(store: Store, count: int) -> str | None:
    """What is wrong with a checkpoint, all parts of it read; None if nothing is."""
    try:
        checkpoint: Checkpoint = store.load(count)
        for part in checkpoint.files:
            checkpoint.read(part)
    except DamagedFileError as error:
        return str(error)
    held = checkpoint.meta["replay"]["count"] * checkpoint.meta["replay"]["num_envs"]
    if held < checkpoint.meta["progress"]["env_steps"]:
        return f"{held} records of {checkpoint.meta['progress']['env_steps']} steps"
    return None


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
