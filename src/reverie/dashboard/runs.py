"""The list of runs in a folder. May import: `errors`, `results`, `storage`, `text`, and this room.

A run that can't be described is listed too, with a sentence about what is wrong; it never hides the others.
"""

import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from reverie.dashboard.groups import Settings, differing, flattened, labels, selected
from reverie.dashboard.metrics import films, newest_step
from reverie.dashboard.security import inside
from reverie.dashboard.state import State, state_of
from reverie.errors import InputError
from reverie.storage import Document, read_document
from reverie.text import printable

DEEPEST = 6  # levels of folders below the one that is shown
EXAMINED, LISTED = 10_000, 500  # runs that are looked at, and those changed last that are listed
LONGEST = 200  # characters of a name that are shown
MOST_STEPS = 2**53


@dataclass(frozen=True)
class Run:
    """A run, as the list shows it."""

    id: str  # its path in the folder that is shown; "." for that folder itself
    changed: float  # when it last wrote something, in seconds since 1970
    state: State
    env: str | None = None
    size: str = ""  # of the model, in words
    steps: int | None = None  # that it will take
    step: int | None = None  # that it has taken
    checkpoint: int | None = None  # the newest one's count
    films: list[str] = field(default_factory=list)  # file names in its folder dreams/, the newest first
    group: str = ""  # what distinguishes its settings from those of other runs of its environment, without the seed
    folder: str = ""  # the folder around it, in the folder that is shown
    settings: Settings = field(default_factory=dict)  # those in which the listed runs differ
    problem: str | None = None  # what is wrong with it, in a sentence


@dataclass(frozen=True)
class Description:
    """What a run's agent.json says."""

    env: str | None
    size: str
    steps: int
    settings: Settings


def find_runs(folder: Path) -> list[dict[str, Any]]:
    """All runs in a folder and its subfolders, those that changed last first, in JSON's types."""
    folder = folder.resolve()
    found = [path for _, path in zip(range(EXAMINED), _folders(folder), strict=False)]
    newest = sorted(((_last_change(path), path) for path in found), reverse=True)[:LISTED]
    runs = [_run(folder, path, changed) for changed, path in newest]
    names = differing([run.settings for run in runs if run.settings])
    groups = labels([(run.env, run.settings) for run in runs])
    return [
        asdict(run) | {"group": group, "settings": selected(run.settings, names)}
        for run, group in zip(runs, groups, strict=True)
    ]


def run_folder(folder: Path, run: str) -> Path:
    """The folder of a run in the list.

    Raises:
        InputError: there is no such run.
    """
    path = inside(folder, run)
    if not inside(path, "agent.json").is_file():
        raise InputError(f"There is no run {run!r} here.")
    return path


def _folders(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Folders with an agent.json; links to folders are not followed, and a run's own folders not entered."""
    try:
        if os.path.lexists(folder / "agent.json"):
            yield folder
            return
        if depth == DEEPEST:
            return
        below = sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for path in below:
        if not path.name.startswith("."):
            yield from _folders(path, depth + 1)


def _run(folder: Path, path: Path, changed: float) -> Run:
    name = str(path.relative_to(folder))
    shown, parent = printable(name), printable(str(Path(name).parent))
    try:
        if shown != name:
            raise InputError("The name of its folder has characters that can't be shown; rename the folder.")
        file = inside(path, "agent.json")
        status = file.stat()
        said = _described(file, status.st_ino, status.st_mtime_ns, status.st_size)
        step = newest_step(path)
    except (InputError, OSError) as error:
        problem = printable(str(error)) if isinstance(error, InputError) else f"It can't be read ({error.strerror})."
        return Run(shown, changed, State.DAMAGED, folder=parent, problem=problem)
    done = step is not None and step >= said.steps
    return Run(
        shown,
        changed,
        state_of(path, done=done, quiet=time.time() - changed),
        said.env,
        said.size,
        said.steps,
        step,
        _newest_checkpoint(path),
        films(path),
        folder=parent,
        settings=said.settings,
    )


@lru_cache(maxsize=2 * LISTED)
def _described(file: Path, inode: int, modified: int, size: int) -> Description:
    """What agent.json says; read again when the file has changed."""
    data = Document(read_document(file).value, file.name)  # whose errors name the file alone
    config = data["config"]
    widths = {name: config["model"][name].integer() for name in ("deter", "groups", "classes", "units")}
    words = "deter {deter}, {groups}×{classes} classes, units {units}".format(**widths)
    env = None if data["env"].value is None else printable(data["env"].text())[:LONGEST]
    return Description(env, words, config["run"]["steps"].integer(high=MOST_STEPS), flattened(config.mapping()))


def _newest_checkpoint(run: Path) -> int | None:
    """The count of the newest checkpoint."""
    try:
        names = os.listdir(inside(run, "checkpoints"))
    except (OSError, InputError):
        return None
    counts = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return max((int(x) for x in counts if x.isdecimal() and x.isascii() and len(x) <= 15), default=None)


def _last_change(run: Path) -> float:
    return max(_changed(run / name) for name in ("metrics.jsonl", "agent.json"))


def _changed(path: Path) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0
