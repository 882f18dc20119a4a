"""`reverie benchmark`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from reverie.config.bound import Bound
from reverie.errors import InputError

if TYPE_CHECKING:
    from reverie.evidence.campaign import Job


@dataclass(frozen=True)
class Benchmark:
    """Train tasks with the paper's settings, over several seeds, and compare them with the published curves.

    What has finished is skipped, and what was interrupted or killed is resumed: repeat the command.
    """

    tasks: tyro.conf.Positional[tuple[str, ...]] = ()
    """Tasks with a published curve, such as dmc/walker_walk; see --list."""
    seeds: Annotated[int, Bound(1, 1000)] = 5
    """How many seeds: 0, 1, …"""
    frames: Annotated[int | None, Bound(1)] = None
    """Environment frames to train for, action repeats included. By default as many as were published."""
    out: Path = Path("results")
    """The folder for runs, outcomes and the summary."""
    list_tasks: Annotated[bool, tyro.conf.arg(name="list")] = False
    """List the tasks, how many frames were published, and how long they take."""
    dry_run: bool = False
    """Print what would be trained and how long it would take."""

    def __call__(self) -> None:
        from reverie.evidence import campaign, find_task

        if self.list_tasks:
            return self._list()
        if not self.tasks:
            raise InputError("Name at least one task; 'reverie benchmark --list' lists all.")
        jobs = campaign.jobs_of([find_task(name) for name in self.tasks], self.seeds, self.frames, self.out)
        if self.dry_run:
            return self._plan(jobs)
        campaign.run_campaign(jobs)
        return None

    def _list(self) -> None:
        from reverie.cli.output import print_table, score
        from reverie.envs.suites import SUITES, missing, suite_of
        from reverie.evidence import all_tasks
        from reverie.evidence.outcome import measured_in
        from reverie.evidence.pace import minutes, pace

        known = measured_in(self.out)
        rows = []
        for name, task in all_tasks().items():
            curve, suite, found = task.published(), suite_of(task.env), pace(task, known)
            needs = f"reverie[{SUITES[suite].extra}]" if suite and missing(suite) else ""
            seeds, took = f"{curve.seeds.max()}", _minutes(minutes(task, task.budget, known))
            where = found.where if found else ""
            rows.append([name, f"{task.budget:,}", score(curve.mean[-1]), seeds, took, where, needs])
        print_table(("task", "frames", "published", "seeds", "minutes", "measured", "needs"), rows, left=(0, 5, 6))

    def _plan(self, jobs: "list[Job]") -> None:
        from reverie.cli.output import print_table
        from reverie.evidence import campaign
        from reverie.evidence.outcome import measured_in

        known = measured_in(self.out)
        found = [campaign.progress(job) for job in jobs]
        left = [one.minutes(job, known) for job, one in zip(jobs, found, strict=True)]
        rows = [
            [job.task.name, str(job.seed), one.state, f"{one.frames:,} of {job.frames:,}", _minutes(minutes)]
            for job, one, minutes in zip(jobs, found, left, strict=True)
        ]
        print_table(("task", "seed", "state", "frames", "minutes left"), rows, left=(0, 2))
        unknown = sum(minutes is None for minutes in left)
        total = sum(minutes or 0.0 for minutes in left)
        more = f", and {unknown} whose time is unknown" if unknown else ""
        print(f"\n{len(jobs)} runs, about {_minutes(total)} minutes left{more}. Nothing was trained.")
        campaign.check(jobs)


def _minutes(minutes: float | None) -> str:
    return "–" if minutes is None else f"{minutes:,.0f}" if minutes >= 10 or not minutes else f"{minutes:.1f}"
