"""The runs in a folder, and what they have written down so far. May import: `errors`, and `security` of this room.

A run may be going on: only whole lines of its metrics are read, from where the reader stopped before.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reverie.dashboard.security import inside
from reverie.errors import InputError

DEEPEST = 6  # folders below the one that is shown
LOOKED_AT, MOST = 10_000, 500  # runs that are looked at, and that are listed: those that changed last
CHUNK = 2**20  # bytes of metrics read at a time
FRESH = 120.0  # seconds after which a run that writes nothing counts as ended
FILMS = {".mp4": "video/mp4", ".gif": "image/gif", ".png": "image/png"}


@dataclass(frozen=True)
class Run:
    """A run's folder, as the list shows it."""

    id: str  # its path in the folder that is shown; "." for that folder itself
    env: str | None
    size: str  # of the model, in words
    steps: int | None  # that it was asked to take
    live: bool  # wrote something a moment ago
    changed: float  # when it last did, in seconds since 1970
    checkpoint: int | None  # the newest one's count
    films: list[str]  # file names in its folder dreams/, the newest first


@dataclass(frozen=True)
class Tail:
    """Whole lines that were written after a cursor."""

    cursor: str  # to ask with the next time
    lines: str
    more: bool  # there are more to read at once
    anew: bool  # the file is another one than before: what was read from it no longer holds


def find_runs(folder: Path) -> list[dict[str, Any]]:
    """All runs at and below a folder, the last changed first, in JSON's types."""
    folder = folder.resolve()
    there = [path for _, path in zip(range(LOOKED_AT), _folders(folder), strict=False)]
    newest = sorted(there, key=lambda path: -_last_change(path))[:MOST]
    return [asdict(run) for path in newest if (run := _run(folder, path))]


def run_folder(folder: Path, run: str) -> Path:
    """The folder of a run in the list; an InputError if there is none."""
    path = inside(folder, run)
    if not inside(path, "agent.json").is_file():
        raise InputError(f"There is no run {run!r} here.")
    return path


def tail(folder: Path, run: str, cursor: str) -> Tail:
    """What the run's metrics.jsonl has after the cursor; an empty one asks from the beginning."""
    path = inside(run_folder(folder, run), "metrics.jsonl")
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            anew, start = _position(cursor, status)
            file.seek(start)
            chunk = file.read(CHUNK)
    except FileNotFoundError:
        return Tail("", "", more=False, anew=bool(cursor))
    whole = chunk.rfind(b"\n") + 1
    if not whole and len(chunk) == CHUNK:
        raise InputError(f"{path} holds no metrics: a line is longer than {CHUNK:,} bytes.")
    lines = chunk[:whole].decode("utf-8", errors="replace")
    stop = start + whole
    more = status.st_size > start + len(chunk)
    return Tail(f"{status.st_ino}:{stop}", lines, more, anew)


def film(folder: Path, run: str, name: str) -> tuple[Path, str]:
    """Path and media type of a film in a run's folder dreams/."""
    path = inside(run_folder(folder, run), f"dreams/{name}")
    if Path(name).name != name or path.suffix not in FILMS or not path.is_file():
        raise InputError(f"The run {run!r} has no film {name!r}.")
    return path, FILMS[path.suffix]


def _folders(folder: Path, depth: int = 0) -> Iterator[Path]:
    """Those that hold an agent.json; links to folders are not followed, and a run's own folders not entered."""
    try:
        if (folder / "agent.json").is_file():
            yield folder
            return
        if depth == DEEPEST:
            return
        below = sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return
    for path in below:
        if not path.name.startswith(".") and path.name.isprintable():  # so that JSON can have it
            yield from _folders(path, depth + 1)


def _run(folder: Path, path: Path) -> Run | None:
    """None for a folder that is just being written or removed, or holds something else."""
    try:
        data = json.loads(inside(folder, str(path / "agent.json")).read_text(encoding="utf-8"))
        model, run = data["config"]["model"], data["config"]["run"]
        size = f"deter {model['deter']}, {model['groups']}×{model['classes']} classes, units {model['units']}"
        changed = _last_change(path)
        env, steps = data.get("env"), int(run["steps"])
    except (InputError, OSError, ValueError, KeyError, TypeError):
        return None
    counts = (int(file.stem) for file in path.glob("checkpoints/*.json") if file.stem.isdigit())
    live = time.time() - changed < FRESH
    return Run(str(path.relative_to(folder)), env, size, steps, live, changed, max(counts, default=None), _films(path))


def _films(path: Path) -> list[str]:
    found = (file for file in path.glob("dreams/*") if file.suffix in FILMS and file.name.isprintable())
    return [file.name for file in sorted(found, key=lambda file: -_changed(file))]


def _last_change(run: Path) -> float:
    return max(_changed(run / name) for name in ("metrics.jsonl", "agent.json"))


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _position(cursor: str, status: os.stat_result) -> tuple[bool, int]:
    """Whether the file is another one than the cursor's, and where to read on."""
    inode, _, offset = cursor.partition(":")
    if not cursor:
        return False, 0
    if inode != str(status.st_ino) or not offset.isdigit() or int(offset) > status.st_size:
        return True, 0
    return False, int(offset)
