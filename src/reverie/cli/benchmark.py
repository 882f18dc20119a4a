"""`reverie benchmark`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from reverie.cli.output import print_table
from reverie.config.bound import Bound
from reverie.errors import InputError

if TYPE_CHECKING:
    from reverie.evidence import Outcome
    from reverie.evidence.campaign import Job
    from reverie.evidence.scores import Comparison


@dataclass(frozen=True)
class Benchmark:
    """Train tasks with the paper's settings, over several seeds, and compare them with the published curves.

    What has finished is skipped, and what was interrupted or killed is resumed: repeat the command.
    """

    tasks: tyro.conf.Positional[tuple[str, ...]] = ()
    """Tasks with a published curve, such as dmc/walker_walk; see --list. With --against, any environments."""
    seeds: Annotated[int, Bound(1, 1000)] = 5
    """How many seeds: 0, 1, …"""
    frames: Annotated[int | None, Bound(1)] = None
    """Environment frames to train for, action repeats included. By default as many as were published."""
    out: Path = Path("results")
    """The folder for runs, outcomes and the summary."""
    method: str = "dreamerv3"
    """Whose published curves to compare with."""
    against: Path | None = None
    """Compare with another version of the code instead: the --out folder of its campaign, or a folder of runs. Its
    seeds, settings and number of frames are trained."""
    check: Path | None = None
    """Train nothing; exit with 1 if scores in this folder are below the published ones, as docs/how-to.md says."""
    list_tasks: Annotated[bool, tyro.conf.arg(name="list")] = False
    """List the tasks, how many frames were published, and how long they take."""
    dry_run: bool = False
    """Print what would be trained and how long it would take."""

    def __call__(self) -> None:
        if self.list_tasks:
            self._list()
        elif self.check is not None:
            self._check(self.check)
        elif not self.tasks:
            raise InputError("Name at least one task; 'reverie benchmark --list' lists all.")
        else:
            self._run()

    def _run(self) -> None:
        """Train what has not finished, and compare."""
        from reverie.evidence import read_outcomes
        from reverie.evidence.campaign import run_campaign

        theirs = read_outcomes(self.against) if self.against else []
        jobs = self._jobs(theirs)
        if self.dry_run:
            return self._plan(jobs)
        run_campaign(jobs, finished=lambda: self._summarize(theirs, quiet=True))
        return self._summarize(theirs)

    def _jobs(self, theirs: "list[Outcome]") -> "list[Job]":
        from reverie.evidence import find_task
        from reverie.evidence.campaign import jobs_against, jobs_of

        if self.against is None:
            return jobs_of([find_task(name) for name in self.tasks], self.seeds, self.frames, self.out)
        if self.against.resolve() == self.out.resolve():
            raise InputError(f"--against and --out are both '{self.out}'; choose another --out for this version.")
        return jobs_against(self.tasks, theirs, self.seeds, self.frames, self.out)

    def _summarize(self, theirs: "list[Outcome]", *, quiet: bool = False) -> None:
        """Compare what has finished, and write the summary."""
        from reverie.evidence.comparing import with_published, with_version
        from reverie.evidence.outcome import readable_outcomes
        from reverie.evidence.summary import write_summary

        def tell(sentence: str) -> None:
            if not quiet:
                print(sentence)

        ours, folder = readable_outcomes(self.out, tell), self.out
        if self.against is None:
            found = with_published(ours, self.method, tell)
        else:
            found = with_version(ours, theirs, str(self.against), self.method, tell)
            folder = self.out / "against"
        write_summary(found, folder, tell)
        if not quiet:
            self._print(found)
            print(f"\nThe summary is in '{folder / 'index.html'}'; summary.csv and curves.csv have its numbers.")

    def _print(self, found: "list[Comparison]") -> None:
        from reverie.evidence.scores import PARTS, summarize
        from reverie.evidence.words import HEAD, all_rows, task_rows

        rows = task_rows(found) + [row for part in PARTS for row in all_rows(summarize(found, part))]
        print()
        print_table(HEAD, rows, left=(0, 1))

    def _check(self, folder: Path) -> None:
        from reverie.evidence import gate, read_outcomes
        from reverie.evidence.comparing import with_published

        outcomes = read_outcomes(folder)
        verdicts = gate.judge(with_published(outcomes, self.method, print), outcomes)
        print_table(("", "task", "our interval, and what it is compared with"), verdicts, left=(0, 1, 2))
        gate.enforce(verdicts)

    def _list(self) -> None:
        from reverie.envs.suites import SUITES, missing, suite_of
        from reverie.evidence import all_tasks
        from reverie.evidence.outcome import measured_in
        from reverie.evidence.pace import minutes, pace
        from reverie.evidence.words import score

        known, rows = measured_in(self.out), []
        for name, task in all_tasks().items():
            curve, suite, found = task.published(), suite_of(task.env), pace(task, known)
            needs = f"reverie[{SUITES[suite].extra}]" if suite and missing(suite) else ""
            took, where = _minutes(minutes(task, task.budget, known)), found.where if found else ""
            end = score(float(curve.mean[-1]))
            rows.append([name, f"{task.budget:,}", end, str(curve.seeds.max()), took, where, needs])
        print_table(("task", "frames", "published", "seeds", "minutes", "measured", "needs"), rows, left=(0, 5, 6))

    def _plan(self, jobs: "list[Job]") -> None:
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
        more = f", and {unknown} whose time is unknown" if unknown else ""
        total = _minutes(sum(minutes or 0.0 for minutes in left))
        print(f"\n{len(jobs)} runs, about {total} minutes left{more}. Nothing was trained.")
        campaign.check(jobs)


def _minutes(minutes: float | None) -> str:
    return "–" if minutes is None else f"{minutes:,.0f}" if minutes >= 10 or not minutes else f"{minutes:.1f}"
