"""Signals at random moments: exit status and message must tell the truth.

A third of the runs are fresh interpreters that get their signal while they import and open, a third get it while they
open and compile, and a third while they train, evaluate and save, or around their end. Afterwards:
- a run that says that it is saved is saved: its newest checkpoint is of the steps in run.json;
- the exit status is 0 only for a run that is finished and saved, 75 and 130 for one that is saved or had not begun to
  train; a signal may also end a process that has not begun to train, or is past its end, as it ends any other program;
- the next run resumes from there.
"""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.attack import forked, kills, tiny
from benchmarks.attack.record import OUTPUT, Record
from reverie.storage import Store
from reverie.training.run_file import read_run_file
from reverie.training.signals import RESUME_STATUS

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
PER_FOLDER = 12
STEPS = 40  # that a run makes if it is not interrupted: some are hit at their end


@dataclass(frozen=True)
class Signals:
    """Send signals to training runs at random moments."""

    count: int = 200
    longest: float = 8.0
    """Longest time in seconds from the start, or from the first checkpoint, to the signal."""
    work: Path = Path("/tmp/reverie-attack")
    """Folder for the runs."""
    output: Path = OUTPUT

    def __call__(self) -> None:
        record = Record(self.output, "signals")
        for number in range(self.count):
            name = f"{number:05d}"
            if name not in record:
                run = self.work / f"signals-{number // PER_FOLDER}"
                if number % PER_FOLDER == 0:
                    shutil.rmtree(run, ignore_errors=True)
                problems, facts = self._attack(run, number)
                record.add(name, signal.Signals(SIGNALS[number % 4]).name, problems, **facts)

    def _attack(self, run: Path, number: int) -> tuple[list[str], dict[str, object]]:
        chance, sent = random.Random(number), SIGNALS[number % 4]
        before, earlier = kills.newest(run), read_run_file(run)
        steps = earlier.get("env_steps", 0) + STEPS
        mode = chance.choice(["serial", "serial", "parallel"])
        arguments = tiny.train(
            run, env__mode=mode, run__checkpoint_every=0.2, run__eval_every=20, run__eval_episodes=1, run__steps=steps
        )
        output = run.with_suffix(".txt")
        output.unlink(missing_ok=True)
        fresh = number % 3 == 0
        process = _interpreter(arguments, output) if fresh else forked.start(arguments, output)
        if number % 3 == 1:
            kills.saves(process, run, before + 1)
        time.sleep(chance.uniform(0, self.longest))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, sent)
        status = forked.wait(process, 240)
        said = output.read_text(errors="replace") if output.exists() else ""
        problems = judge(run, before, status, sent, said, steps)
        problems += [f"process {left} is left" for left in forked.left(process)]
        facts = {"signal": sent.name, "status": status, "checkpoint": kills.newest(run), "fresh": fresh, "mode": mode}
        return problems, facts | ({"said": said[-3000:]} if problems else {})


def _interpreter(arguments: list[str], output: Path) -> int:
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("w") as file:
        command = [sys.executable, "-u", "-m", "reverie", *arguments]
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    process.returncode = 0  # it is waited for by its id
    return process.pid


def judge(run: Path, before: int, status: int, sent: int, said: str, steps: int) -> list[str]:
    """What is wrong with how a run has ended."""
    problems, said = list[str](), " ".join(said.split())
    written, counts = read_run_file(run), Store(run / "checkpoints").counts
    after = counts[0] if counts else 0
    claims = "the run is saved" in said
    saved = bool(written) and after == written["env_steps"] + written["updates"]
    stopping = "Stopping (" in said
    if status not in (0, 130, RESUME_STATUS, -sent):
        problems.append(f"exit status {status}")
    if "Traceback" in said and (stopping or "KeyboardInterrupt" not in said):  # a library may swallow an early Ctrl-C
        problems.append("a traceback")
    if after < before:
        problems.append(f"the newest checkpoint is {after}, it was {before}")
    if claims and not saved:
        problems.append("it claims to be saved")
    if claims and written.get("saved") is not True:
        problems.append(f"run.json says saved: {written.get('saved')}")
    if status == 0 and not (claims and written["env_steps"] >= steps):
        problems.append("exit status 0 without the end of the run")
    if stopping and not claims and after:
        problems.append("it was stopped, but does not say that it is saved")
    if status == RESUME_STATUS and not stopping:
        problems.append("the status that means resume, without a word")
    if stopping and status not in (RESUME_STATUS if sent != signal.SIGINT else 130,):
        problems.append(f"it was stopped by {signal.Signals(sent).name}, but has the status {status}")
    if status == -sent and (stopping and not claims):
        problems.append("it was killed while it was being saved")
    if (resumed := re.search(r"Resuming at ([\d,]+) steps?, ([\d,]+) updates?", said)) is not None:
        at = sum(int(text.replace(",", "")) for text in resumed.groups())
        problems += [f"resumed at {at} instead of {before}"] if at != before else []
    return problems
