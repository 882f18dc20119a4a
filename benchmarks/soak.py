"""Kill a training run at random moments, again and again, and check that it always resumes from its last checkpoint.

    python -m benchmarks.soak --kills 200

Every third kill comes while the run starts, the others while it trains and saves many times a second. After each kill,
all parts of every checkpoint must be readable, the newest must be no older than the newest before, and the metrics must
contain each episode up to it exactly once.
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
    """Number and timing of the kills."""

    kills: int = 200
    longest: float = 2.0
    """Longest time in seconds from a run's first report to its kill."""
    start: float = 10.0
    """Longest time in seconds from the start of a run to its kill, for kills during the start."""
    seed: int = 0
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    chance, rows = random.Random(settings.seed), list[dict[str, Any]]()
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        store, newest = Store(run / "checkpoints"), 0
        for kill in range(settings.kills):
            starting = kill % 3 == 2
            wait = chance.uniform(0, settings.start if starting else settings.longest)
            said = _train_and_kill(run, wait, starting=starting)
            counts = store.counts
            problems = [problem for count in counts if (problem := _problem(store, count))]
            if counts[:1] < [newest]:
                problems.append(f"the newest checkpoint is {counts[:1]}, it was {newest} before")
            if newest and not starting and "Resuming at" not in said:
                problems.append("the run did not continue")
            if counts and not problems and (problem := _uncounted(run, store.load(counts[0]))):
                problems.append(problem)
            if problems:
                sys.exit(f"After kill {kill}: {problems}. The run printed:\n{said}")
            rows.append({"starting": starting, "new": counts[:1] > [newest]})
            newest = counts[0] if counts else 0
            print(f"\r{kill + 1} kills, checkpoint {newest}", end="", flush=True)
        store.close()
    print()
    summary = {"kills": len(rows), "while starting": sum(row["starting"] for row in rows)}
    summary |= {"with a new checkpoint": sum(row["new"] for row in rows), "last checkpoint": newest}
    report("soak", settings, [summary], settings.output)


def _train_and_kill(run: Path, wait: float, *, starting: bool) -> str:
    """Kill the process some time after its start, or after its first report, and return its output until then."""
    command = [sys.executable, "-m", "reverie", "train", ENV, "--logdir", str(run), "--run.no-tensorboard"]
    command += [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    said = ""
    if not starting:
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
    """What is wrong with a checkpoint after reading all its parts; None if nothing is."""
    try:
        checkpoint: Checkpoint = store.load(count)
        for part in checkpoint.files:
            checkpoint.read(part)
    except DamagedFileError as error:
        return str(error)
    held = sum(checkpoint.meta["replay"]["count"])  # of each environment
    if held < checkpoint.meta["progress"]["env_steps"]:
        return f"{held} records of {checkpoint.meta['progress']['env_steps']} steps"
    return None


def _uncounted(run: Path, checkpoint: Checkpoint) -> str | None:
    """What is wrong with the metrics up to a checkpoint; None if nothing is."""
    progress = checkpoint.meta["progress"]
    rows = [row for row in read_metrics(run) if row["step"] <= progress["env_steps"]]
    episodes = sum("episode/return" in row for row in rows)
    if episodes != progress["episodes"]["count"]:
        return f"{episodes} episodes in the metrics, {progress['episodes']['count']} in the checkpoint"
    return None


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
