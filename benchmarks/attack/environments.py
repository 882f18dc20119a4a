"""Environments that misbehave: every kind of fault, once or always, in every mode.

A fault that happens once costs a restart, and the run ends as usual. One that happens always ends the run with an error
that says why, after the last good state was saved. In no case may anything wrong enter the replay buffer, or a process
be left.
"""

import random
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.attack import forked, tiny
from benchmarks.attack.kills import newest
from benchmarks.attack.misbehaving import LENGTH, PARTS, VALUES
from benchmarks.attack.record import OUTPUT, Record
from reverie.replay import read_run, split_episodes
from reverie.training.run_file import read_run_file

MODULE = "benchmarks.attack.misbehaving"
MODES = ("serial", "parallel", "async", "vector")
STEPS, AFTER = 120, 40  # of the run, and of a copy before it misbehaves
TIMEOUT = 4  # seconds for a worker to answer
HARMLESS = {  # what Gymnasium allows, or Reverie converts: nothing has to happen
    "observation: list",
    "observation: out of bounds",
    "reset observation: list",
    "reset observation: out of bounds",
    "info: dict",
    "prints",
    "shares buffers",
    "raise in render",
}


class Case(NamedTuple):
    """One fault, how often, and in which mode."""

    fault: str
    always: bool
    mode: str
    stateful: bool = False


def cases() -> Iterator[Case]:
    """All combinations that make sense; a hang in the training process can't be survived, nor its end."""
    places = ("init", "reset", "step", "close")
    calls = [f"{what} in {where}" for what in ("raise", "exit", "interrupt") for where in places]
    values = [f"{part}: {value}" for part in (*PARTS, "reset observation") for value in VALUES]
    shapes = ["step returns 4 values", "reset returns no info", "prints", "shares buffers", "raise in render"]
    ends = [f"{what} in {where}" for what in ("die", "hang") for where in places]
    for mode in MODES:
        for fault in calls + values + shapes:
            yield Case(fault, False, mode)
        for fault in [*calls, *shapes[:2], *(f"{part}: None" for part in PARTS)]:
            yield Case(fault, True, mode)
        if mode in ("parallel", "async"):
            for fault in ends:
                yield Case(fault, False, mode)
                yield Case(fault, True, mode)
    states = [f"{what} in {where}_state" for what in ("raise", "exit", "interrupt") for where in ("get", "set")]
    for fault in (*states, "state: object", "state: deep"):
        yield Case(fault, True, "serial", True)


@dataclass(frozen=True)
class Environments:
    """Train in environments that misbehave in every way."""

    count: int = 10**6
    """Stop after this many."""
    work: Path = Path("/tmp/reverie-attack")
    """Folder for the runs."""
    output: Path = OUTPUT

    def __call__(self) -> None:
        record = Record(self.output, "environments")
        all_cases = list(cases())
        random.Random(0).shuffle(all_cases)  # so that the first ones are of all kinds
        for case in all_cases[: self.count]:
            name = f"{case.fault} | {'always' if case.always else 'once'} | {case.mode}{' with state' * case.stateful}"
            if name not in record:
                problems, facts = _attack(self.work, case)
                record.add(name, case.mode, problems, **facts)


def _attack(work: Path, case: Case) -> tuple[list[str], dict[str, object]]:
    run, mark, output = work / "misbehaving", work / "mark", work / "misbehaving.txt"
    shutil.rmtree(run, ignore_errors=True)
    mark.unlink(missing_ok=True)
    name = f"{MODULE}:{'vector' if case.mode == 'vector' else 'Stateful' if case.stateful else 'Misbehaving'}"
    inside = case.fault.partition(" in ")[2]
    after = 0 if case.always or inside == "init" else AFTER
    kwargs = [f"fault='{case.fault}'", f"after={after}", *([] if case.always else [f"mark={mark}"])]
    arguments = tiny.train(
        run, name, env__mode=case.mode, env__restarts=2, env__timeout=TIMEOUT, run__train_ratio=0, run__steps=STEPS
    )
    begin, problems = time.monotonic(), list[str]()
    process = forked.start([*arguments, "--env.kwargs", *kwargs], output)
    status = forked.wait(process, 240)
    said = output.read_bytes()[-200_000:].decode(errors="replace")
    if case.stateful and status == 0:
        status, more = forked.run(["resume", str(run), "--steps", str(2 * STEPS)], output, 240)
        said += more
    problems += [f"process {left} is left" for left in forked.left(process)]
    happened = case.always or mark.exists()
    problems += judge(case, status, said, run, happened=happened)
    facts = {"status": status, "happened": happened, "seconds": round(time.monotonic() - begin, 1)}
    return problems, facts | ({"said": said[-3000:]} if problems else {})


def judge(case: Case, status: int, said: str, run: Path, *, happened: bool) -> list[str]:
    """What is wrong with how a run has ended."""
    problems, words = list[str](), " ".join(said.split())
    survives = case.mode != "vector" and not case.always
    ends_well = case.fault in HARMLESS or case.stateful or case.fault.endswith("in close")
    written = read_run_file(run)
    if case.fault.startswith("interrupt") and case.mode in ("serial", "vector") and status == 130:
        return []  # outside of training it can't be told from Ctrl-C
    if status not in (0, 1):
        problems.append(f"exit status {status}")
    if happened and (survives or ends_well) and status != 0 and not _refused(case, words):
        problems.append(f"exit status {status}, but the fault can be survived")
    if status == 0 and "the run is saved" not in words:
        problems.append("exit status 0, but nothing says that it is saved")
    if status == 1 and not re.search(r"Error: |Traceback|Error", words):
        problems.append("an error without a sentence")
    if newest(run):
        if written.get("saved") is not True:
            problems.append(f"run.json says saved: {written.get('saved')}")
        problems += _wrong_records(run) if case.fault not in HARMLESS else []
    elif status == 0:
        problems.append("there is no checkpoint")
    return problems


def _refused(case: Case, words: str) -> bool:
    """Whether the interface was refused before the start, as the message says; for faults that probing meets."""
    return "Error: " in words and ("returned" in words or "raised" in words)


def _wrong_records(run: Path) -> list[str]:
    """Episodes in the replay buffer that are not as the environment counts them."""
    for stream in read_run(run):
        for episode in split_episodes(stream):
            seen = episode.observation["vector"][:, 0]
            good = seen == np.arange(len(seen))
            if not good.all() and not (np.abs(seen[~good]) > LENGTH).all():
                return [f"the replay buffer holds an episode with the times {seen.tolist()}"]
            if not np.isfinite(episode.reward).all() or not np.isfinite(episode.observation["vector"]).all():
                return ["the replay buffer holds numbers that are not finite"]
    return []
