"""Tasks × seeds: what is finished, what remains, and training it.

    OUT/TASK-SEED.json   the outcome of a task and a seed, see `outcome`
    OUT/runs/TASK/SEED   its run

May import: `config`, `envs.suites`, `errors`, `results`, `storage`, `training`, and of this room `commit`, `outcome`,
`pace` and `tasks`. Files are complete or absent and runs resume from their checkpoints, so a campaign can be killed at
any moment; the same command continues it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

from reverie.config import Config, differences
from reverie.envs.suites import SUITES, missing, suite_of
from reverie.errors import InputError, ReverieError
from reverie.evidence.commit import commit
from reverie.evidence.outcome import Outcome, outcome_of, read_outcome
from reverie.evidence.pace import minutes
from reverie.evidence.tasks import IRRELEVANT, Task, all_tasks, unpublished
from reverie.results import Run
from reverie.storage import DamagedFileError

SHOWN = 3  # settings that a message names


@dataclass(frozen=True)
class Job:
    """A task to train with a seed, for a number of environment frames, in a campaign's folder."""

    task: Task
    seed: int
    frames: int
    out: Path

    @property
    def name(self) -> str:
        """As in messages: 'dmc/walker_walk, seed 2'."""
        return f"{self.task.name}, seed {self.seed}"

    @property
    def file(self) -> Path:
        """Where its outcome is written."""
        return self.out / f"{_safe(self.task.name)}-{self.seed}.json"

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.out / "runs" / _safe(self.task.name) / str(self.seed)

    @property
    def config(self) -> Config:
        """The run's settings."""
        config = self.task.config
        return replace(config, seed=self.seed, run=replace(config.run, steps=self.task.steps(self.frames)))


State = Literal["finished", "resume", "new"]


class Progress(NamedTuple):
    """How far a job is."""

    state: State
    frames: int
    outcome: Outcome | None = None  # None if nothing was trained yet
    stored: bool = False  # whether the outcome's file has all of it
    note: str | None = None  # a problem that was found and solved on the way

    def minutes(self, job: Job, outcomes: Sequence[Outcome]) -> float | None:
        """Minutes that remain; None if nothing comparable was measured."""
        mine = [self.outcome] if self.outcome and self.outcome.seconds else []
        return 0.0 if self.state == "finished" else minutes(job.task, job.frames - self.frames, mine or outcomes)


class CampaignError(ReverieError):
    """Some runs of a campaign failed; the others have finished."""


Train = Callable[[Sequence[Job]], Iterator[tuple[Job, Exception | None]]]
"""Trains the jobs of one task that are not finished; yields each one that ended, with its error if it failed."""


def jobs_of(tasks: Sequence[Task], seeds: int, frames: int | None, out: Path) -> list[Job]:
    """Every task with the seeds 0, 1, …; without `frames`, each for its budget.

    Raises:
        InputError: there are too few frames to compare anything.
    """
    jobs = [Job(task, seed, frames or task.budget, out) for task in dict.fromkeys(tasks) for seed in range(seeds)]
    for job in jobs:
        first = job.task.published().frames[0] if job.task.suite else 1
        if job.frames < first:
            raise InputError(
                f"The published curve of {job.task.name} begins at {first:,.0f} frames, so that is the least to train "
                f"for; got --frames {job.frames}."
            )
    return jobs


def jobs_against(
    names: Sequence[str], theirs: Sequence[Outcome], seeds: int, frames: int | None, out: Path
) -> list[Job]:
    """The first `seeds` seeds of each task that another version of the code was trained with, in its settings.

    Raises:
        InputError: the other version was not trained on a task, or in several settings.
    """
    jobs = []
    for name in dict.fromkeys(names):
        other = [one for one in theirs if one.task == name]
        if not other:
            known = ", ".join(sorted({one.task for one in theirs}))
            raise InputError(f"There is no run of {name!r} to compare with; there are runs of {known}.")
        first = other[0]
        for one in other:
            if changed := differences(first.config, one.config, IRRELEVANT):
                raise InputError(
                    f"Runs of {name} to compare with differ in settings ({_listed(changed)}); name a folder of one."
                )
        length = frames or min(one.frames for one in other)
        task = all_tasks().get(name) or unpublished(first.env, length)
        task = replace(task, config=first.config, frames_per_step=first.frames_per_step)
        jobs += [Job(task, seed, length, out) for seed in sorted({one.seed for one in other})[:seeds]]
    return jobs


def check(jobs: Sequence[Job]) -> list[Progress]:
    """How far each job is, and whether it can be continued.

    Raises:
        InputError: a job's run was made with other settings, or packages are missing.
    """
    found = [progress(job) for job in jobs]
    for job, one in zip(jobs, found, strict=True):
        suite = suite_of(job.task.env)
        if one.state != "finished" and suite and (packages := missing(suite)):
            raise InputError(
                f"{job.task.name} needs {' and '.join(packages)}; install with: "
                f"pip install 'reverie[{SUITES[suite].extra}]'"
            )
    return found


def progress(job: Job) -> Progress:
    """How far a job is, from its outcome's file or from its run's folder.

    Raises:
        InputError: it was made with other settings.
    """
    note = None
    try:
        outcome = read_outcome(job.file)
    except DamagedFileError as error:
        outcome = None
        if job.file.exists():
            note = f"{error} It is written again from the run's folder."
    stored = _covers(outcome, job)
    if not stored and (job.folder / "agent.json").exists():
        with suppress(InputError):  # without metrics, nothing was trained yet
            run = Run.read(job.folder)
            outcome = outcome_of(run, job.task.name, job.task.frames_per_step, outcome.commits if outcome else ())
    if outcome is None:
        return Progress("new", 0, note=note)
    _check_settings(outcome, job)
    state: State = "finished" if _covers(outcome, job) else "resume"
    return Progress(state, min(outcome.frames, job.frames), outcome, stored, note)


def run_campaign(
    jobs: Sequence[Job],
    tell: Callable[[str], None] = print,
    finished: Callable[[], None] = lambda: None,
    train: Train | None = None,
) -> None:
    """Train everything that is not finished.

    Args:
        jobs: those of each task next to each other.
        tell: receives a sentence about each job.
        finished: called after each job that has finished, such as to update a summary.
        train: how the jobs of a task are trained; by default one after the other in this process.

    Raises:
        InputError: see `check`. Nothing is trained then.
        CampaignError: runs failed; all others have been trained.
    """
    from reverie.training import BusyError

    check(jobs)
    failed = []
    for _, group in groupby(jobs, lambda job: job.task):
        todo = [job for job in group if _remains(job, tell)]
        for job, error in (train or one_by_one)(todo):
            if isinstance(error, BusyError):
                tell(f"{job.name} is left to the process that trains it.")
            elif error is not None:
                failed.append(f"{job.name}: {error}")
                tell(f"{job.name} failed with {type(error).__name__}: {error}")
            else:
                tell(f"{job.name} has finished; its outcome is in '{job.file}'.")
                _update(finished, tell)
    if failed:
        raise CampaignError(
            f"{len(failed)} of {len(jobs)} runs did not finish. Repeat the command to continue them. "
            + " ".join(failed)
        )


def one_by_one(jobs: Sequence[Job]) -> Iterator[tuple[Job, Exception | None]]:
    """Train jobs one after the other in this process. Ctrl-C and other signals save the run and end the process."""
    from reverie.training import train

    for job in jobs:
        found = progress(job)
        if found.stored:  # by another process, meanwhile
            continue
        print(f"\n{job.name}, {job.frames:,} frames, in '{job.folder}'", flush=True)
        note = _Started(job, found.outcome)
        try:
            train(job.task.env, job.config, logdir=job.folder, callbacks=[note])
            outcome_of(Run.read(job.folder), job.task.name, job.task.frames_per_step, note.commits).write(job.file)
        except Exception as error:
            yield job, error
        else:
            yield job, None


class _Started:
    """A callback that writes which code trains, as soon as the run is open and has something to log."""

    def __init__(self, job: Job, outcome: Outcome | None) -> None:
        self._job, self._written = job, False
        earlier = outcome.commits if outcome else ()
        now = commit() or "unknown"
        self.commits = earlier if earlier[-1:] == (now,) else (*earlier, now)

    def on_log(self, run: Any, row: Any) -> None:
        if self._written:
            return
        self._written = True
        with suppress(OSError, InputError):  # such as a full disk: the run goes on, and may find room at its end
            found = Run.read(self._job.folder)
            outcome = outcome_of(found, self._job.task.name, self._job.task.frames_per_step, self.commits)
            replace(outcome, finished=False).write(self._job.file)


def _update(finished: Callable[[], None], tell: Callable[[str], None]) -> None:
    """Call it; a summary that can't be written is not worth the runs that remain."""
    try:
        finished()
    except (OSError, ReverieError) as error:
        tell(f"The summary could not be updated ({error}).")


def _remains(job: Job, tell: Callable[[str], None]) -> bool:
    """Whether a job is still to be trained; an outcome whose file is missing or damaged is written again."""
    found = progress(job)
    if found.note:
        tell(found.note)
    if found.state != "finished":
        return True
    if found.outcome and not found.stored:
        found.outcome.write(job.file)
    tell(f"{job.name} has finished already.")
    return False


def _covers(outcome: Outcome | None, job: Job) -> bool:
    return outcome is not None and outcome.finished and outcome.frames >= job.frames


def _check_settings(outcome: Outcome, job: Job) -> None:
    if outcome.seed != job.seed or outcome.env != job.task.env:
        raise InputError(
            f"'{job.file}' should be of {job.name}, but is of {outcome.env}, seed {outcome.seed}. Move it away."
        )
    changed = differences(outcome.config, job.config, IRRELEVANT)
    if changed:
        raise InputError(
            f"{job.name} in '{job.out}' was trained with other settings ({_listed(changed)}). Choose another --out, or "
            "move the old results away."
        )


def _listed(changed: dict[str, tuple[Any, Any]]) -> str:
    """The first few settings that differ, with both values."""
    listed = [f"{name} {before} → {now}" for name, (before, now) in list(changed.items())[:SHOWN]]
    more = f", and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return f"{', '.join(listed)}{more}"


def _safe(name: str) -> str:
    """A task's name as the name of a file."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
