"""SIGKILL at random moments, again and again: a run must always resume from its newest checkpoint.

Every third kill comes while the run starts, the others while it trains and saves many times a second. After each kill:
- every part of every checkpoint can be read, and the newest is no older than the newest before;
- the next process resumes exactly there;
- steps and episodes of the checkpoint equal those in its replay buffer, and the episodes in the metrics, return by
  return: none is lost or counted twice;
- the processes of parallel workers end too.
"""

import random
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.attack import forked, tiny
from benchmarks.attack.record import OUTPUT, Record
from reverie.errors import InputError
from reverie.replay import read_run, split_episodes
from reverie.storage import DamagedFileError, Store
from reverie.training.metrics import read_metrics

VARIANTS = {
    "memory, serial": {},
    "disk, serial": {"replay__home": "disk"},
    "memory, parallel": {"env__mode": "parallel"},
    "disk, parallel": {"replay__home": "disk", "env__mode": "parallel"},
    "memory, async": {"env__mode": "async"},
    "evaluating": {"run__eval_every": 20, "run__eval_episodes": 1},
}
PER_FOLDER = 20  # kills of the runs in one folder
LEARNING = 20  # steps and updates after which a run does everything that it ever does
PATIENCE = 240  # seconds that a run may take to start on a busy machine


@dataclass(frozen=True)
class Kills:
    """Kill training runs at random moments."""

    count: int = 500
    """Kills in all, spread over the variants."""
    longest: float = 1.5
    """Longest time in seconds from the first updates to the kill."""
    start: float = 6.0
    """Longest time in seconds from the start of a process to its kill, for kills during the start."""
    work: Path = Path("/tmp/reverie-attack")
    """Folder for the runs."""
    output: Path = OUTPUT

    def __call__(self) -> None:
        record = Record(self.output, "kills")
        for number in range(self.count):
            name = f"{number:05d}"
            if name not in record:
                group = number // PER_FOLDER
                variant = list(VARIANTS)[group % len(VARIANTS)]
                run = self.work / f"kills-{group}"
                if number % PER_FOLDER == 0:
                    shutil.rmtree(run, ignore_errors=True)
                    shutil.rmtree(self.work / f"kills-{group - 1}", ignore_errors=True)
                problems, facts = self._attack(run, number, VARIANTS[variant])
                record.add(name, variant, problems, **facts)

    def _attack(self, run: Path, number: int, settings: dict[str, object]) -> tuple[list[str], dict[str, object]]:
        """Train, kill and examine once; returns the problems, and facts about the attack."""
        chance, starting = random.Random(number), number % 3 == 2
        run.parent.mkdir(parents=True, exist_ok=True)
        before, output = newest(run), run.with_suffix(".txt")
        output.unlink(missing_ok=True)
        arguments = tiny.train(run, run__log_every=0.2, run__checkpoint_every=0.05, run__steps=10**6, **settings)
        process = forked.start(arguments, output)
        problems = []
        if starting:
            time.sleep(chance.uniform(0, self.start))
        elif saves(process, run, before + LEARNING):
            time.sleep(chance.uniform(0, self.longest))
        else:
            problems.append("the run ended by itself, or never saved")
        if not problems:
            forked.kill(process)
        said, after = output.read_text(errors="replace"), newest(run)
        problems += examine(run, before, said, resumes=not starting)
        problems += [f"process {left} is left" for left in forked.left(process)]
        facts = {"starting": starting, "checkpoint": after, "new": after != before}
        return problems, facts | ({"said": said[-4000:]} if problems else {})


def newest(run: Path) -> int:
    """The count of the newest checkpoint; 0 if there is none."""
    return next(iter(Store(run / "checkpoints").counts), 0)


def saves(process: int, run: Path, more: int) -> bool:
    """Wait until the newest checkpoint has come this far; False if the process ends or takes too long."""
    for _ in range(50 * PATIENCE):  # turns, because both processes may be stopped meanwhile
        if newest(run) >= more:
            return True
        if forked.ended(process):
            return False
        time.sleep(0.02)
    forked.kill(process)
    return False


def examine(run: Path, before: int, said: str, *, resumes: bool) -> list[str]:
    """What is wrong with a run folder after a kill.

    Args:
        run: the folder.
        before: the newest checkpoint's count when the killed process started.
        said: what it printed.
        resumes: whether it came far enough to resume.
    """
    problems = [word for word in ("Traceback", "damaged", "checkpoint before") if word in said]
    store = Store(run / "checkpoints")
    if (after := newest(run)) < before:
        problems.append(f"the newest checkpoint is {after}, it was {before}")
    resumed = re.search(r"Resuming at ([\d,]+) steps?, ([\d,]+) updates?", said.replace("\n", " "))
    if resumed is not None:
        at = sum(int(text.replace(",", "")) for text in resumed.groups())
        problems += [f"resumed at {at} instead of {before}"] if at != before else []
    elif before and resumes:
        problems.append("it did not resume")
    try:
        for count in store.counts:
            checkpoint = store.load(count)
            for part in checkpoint.files:
                checkpoint.read(part)
        if (best := store.best()) is not None:
            best.read("networks")
        problems += _miscounted(run, store) if after else []
    except (DamagedFileError, InputError) as error:
        problems.append(str(error))
    return problems


def _miscounted(run: Path, store: Store) -> list[str]:
    """Where the newest checkpoint, its replay buffer and the metrics disagree."""
    checkpoint = store.load(store.counts[0])
    progress, waiting = checkpoint.meta["progress"], checkpoint.read("loop")
    steps, cut, held = 0, 0, Counter[float]()
    for number, stream in enumerate(read_run(run)):
        for episode in split_episodes(stream):
            steps += int(np.sum(~episode.is_last))
            total = float(np.sum(episode.reward))
            if episode.is_terminal[-1]:
                held[round(total, 3)] += 1
            else:  # cut off by a kill, or still running
                cut += bool(episode.is_last[-1])
        name = "['unrecorded'].step"  # what replay gets only with the next action
        if f"{name}.reward" in waiting and (waiting["['unrecorded'].which"] & waiting[f"{name}.is_terminal"])[number]:
            held[round(total + float(waiting[f"{name}.reward"][number]), 3)] += 1
    rows = [row for row in read_metrics(run) if row["step"] <= progress["env_steps"] and "episode/return" in row]
    written = Counter(round(row["episode/return"], 3) for row in rows)
    problems = []
    if not steps <= progress["env_steps"] <= steps + cut:  # what an asynchronous worker was doing has no outcome
        problems.append(f"{steps} steps in the replay buffer, {progress['env_steps']} in the checkpoint")
    if not held.total() == written.total() == progress["episodes"]["count"]:
        counted = f"{written.total()} in the metrics, {progress['episodes']['count']} in the checkpoint"
        problems.append(f"{held.total()} episodes in the replay buffer, {counted}")
    if held != written:
        problems.append(f"returns in the replay buffer {held}, in the metrics {written}")
    return problems
