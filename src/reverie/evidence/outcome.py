"""What came of a task and a seed, in one JSON file. May import: `config`, `errors`, `results`, `storage`, `tasks`.

format            1
task, seed, env   what was trained
frames_per_step   environment frames of one environment step, action repeats included
finished          whether the run has all the frames that it was started for
frames            environment frames trained so far
episodes          frames and return of each training episode: when it ended, and its sum of rewards
seconds           of training, without those of processes that were killed before they saved; null if unknown
commits           of the code that trained, in order; '+' marks files that differed from the commit
machine, versions of the newest process that trained
config            all settings
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reverie.config import Config, config_from_dict, config_to_dict
from reverie.errors import InputError
from reverie.evidence.tasks import task_of_run
from reverie.results import Run, find_runs
from reverie.results.provenance import duration
from reverie.storage import DamagedFileError, Document, as_json, read_document, write_text

FORMAT = 1
LARGEST = 2**28  # bytes of a file


@dataclass(frozen=True)
class Outcome:
    """A run of a task with a seed; the fields are those of the file."""

    task: str
    seed: int
    env: str
    frames_per_step: int
    finished: bool
    frames: int
    ends: np.ndarray  # (N,) frames at which the episodes ended
    returns: np.ndarray  # (N,)
    seconds: float | None
    commits: tuple[str, ...]
    config: Config
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write the file, completely or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        episodes = {"frames": self.ends.astype(int).tolist(), "returns": self.returns.tolist()}
        names = ("task", "seed", "env", "frames_per_step", "finished", "frames", "seconds", "machine", "versions")
        contents = {"format": FORMAT, **{name: getattr(self, name) for name in names}}
        contents |= {"commits": list(self.commits), "config": config_to_dict(self.config), "episodes": episodes}
        write_text(path, as_json(contents) + "\n")


def read_outcome(path: Path) -> Outcome:
    """Read a file.

    Raises:
        DamagedFileError: it can't be read, or another version of Reverie wrote it.
    """
    document = read_document(path, LARGEST)
    if document["format"].value != FORMAT:
        document["format"].expected(f"{FORMAT}, which this version of Reverie reads")
    try:
        config = config_from_dict(document["config"].settings())
    except DamagedFileError:
        raise
    except InputError as error:
        document["config"].fail(f"can't be read by this version of Reverie: {error}")
    ends, returns = _numbers(document["episodes"]["frames"]), _numbers(document["episodes"]["returns"])
    if len(ends) != len(returns):
        document["episodes"].fail(f"has {len(ends)} frames, but {len(returns)} returns")
    return Outcome(
        task=document["task"].text(),
        seed=document["seed"].integer(),
        env=document["env"].text(),
        frames_per_step=document["frames_per_step"].integer(1, 10_000),
        finished=document["finished"].boolean(),
        frames=document["frames"].integer(),
        ends=ends,
        returns=returns,
        seconds=None if document["seconds"].value is None else document["seconds"].number(),
        commits=tuple(one.text() for one in document["commits"].elements()),
        config=config,
        machine=document["machine"].settings(),
        versions=document["versions"].settings(),
    )


def outcome_of(run: Run, task: str, frames_per_step: int, commits: tuple[str, ...] = ()) -> Outcome:
    """The outcome of a run so far; its metrics are read anew."""
    steps, returns = run.series("episode/return")
    written = _run_file(run.path)
    trained = written.get("env_steps")
    trained = max(run.steps, trained if type(trained) is int else 0)
    return Outcome(
        task=task,
        seed=run.config.seed,
        env=run.env,
        frames_per_step=frames_per_step,
        finished=written.get("status") == "finished" and trained >= run.config.run.steps,
        frames=trained * frames_per_step,
        ends=steps * frames_per_step,
        returns=returns,
        seconds=duration(run),
        commits=commits,
        config=run.config,
        machine=_mapping(written.get("machine")),
        versions=_mapping(written.get("versions")),
    )


def read_outcomes(folder: Path) -> list[Outcome]:
    """The outcomes in a campaign's folder, or those of the runs in a folder of runs.

    Raises:
        InputError: there are none, or a file is damaged.
    """
    files = _files(folder)
    return [read_outcome(file) for file in files] if files else [_of_any_run(run) for run in find_runs([folder])]


def readable_outcomes(folder: Path, tell: Callable[[str], None] = lambda _: None) -> list[Outcome]:
    """The outcomes in a campaign's folder; `tell` receives a sentence about each file that can't be read."""
    found = []
    for file in _files(folder):
        try:
            found.append(read_outcome(file))
        except (InputError, OSError) as error:
            tell(str(error))
    return found


def measured_in(folder: Path) -> list[Outcome]:
    """The outcomes in a campaign's folder that were made on a machine with as many CPUs as this one."""
    return [one for one in readable_outcomes(folder) if one.machine.get("cpus") == os.cpu_count()]


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.json") if re.search(r"-[0-9]+\.json$", file.name))


def _of_any_run(run: Run) -> Outcome:
    """The outcome of a run that no campaign started."""
    task = task_of_run(run.env, run.config)
    per_step = (task.frames_per_step if task else 1) * run.config.env.action_repeat
    return outcome_of(run, task.name if task else run.env, per_step)


def _numbers(document: Document) -> np.ndarray:
    return np.array([one.number() for one in document.elements()], float)


def _run_file(folder: Path) -> dict[str, Any]:
    """The contents of the run's `run.json`; empty if it can't be read."""
    try:
        return read_document(folder / "run.json").settings()
    except (InputError, OSError):
        return {}


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
