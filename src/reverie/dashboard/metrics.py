"""Metrics of a run as they are written, and its films. May import: `errors`, `storage`, and this room.

A run may be training: only complete lines are read, from where the reader stopped before.
"""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from reverie.dashboard.security import MalformedError, inside
from reverie.errors import InputError
from reverie.storage import DamagedFileError, open_to_read, parse

LARGEST = 2**62  # bytes of metrics, of which only some are read
CHUNK = 2**20  # bytes of metrics read at a time
END = 2**16  # bytes at the end of the metrics in which the newest row is looked for
CURSOR = re.compile(r"([0-9]{1,20}):([0-9]{1,20})", re.ASCII)
FILMS = {".mp4": "video/mp4", ".gif": "image/gif", ".png": "image/png"}


@dataclass(frozen=True)
class Tail:
    """Complete lines that were written after a cursor."""

    cursor: str  # for the next request
    lines: str
    more: bool  # whether there is more to read at once
    replaced: bool  # whether the file was replaced, so that what was read from it before no longer holds


def tail(run: Path, cursor: str) -> Tail:
    """The part of a run's metrics.jsonl after a cursor; an empty cursor starts at the beginning.

    Raises:
        MalformedError: the cursor is not one that this function returned.
        InputError: the file can't be read, or holds no lines.
    """
    if cursor and not CURSOR.fullmatch(cursor):
        raise MalformedError(f"{cursor[:100]!r} is no cursor; leave it out to read from the beginning.")
    path = inside(run, "metrics.jsonl")
    try:
        if not path.exists():
            return Tail("", "", more=False, replaced=bool(cursor))
        with open_to_read(path, LARGEST) as file:
            status = os.fstat(file.fileno())
            replaced, start = _position(cursor, status)
            file.seek(start)
            chunk = file.read(CHUNK)
    except OSError as error:
        raise InputError(f"'metrics.jsonl' can't be read ({error.strerror}).") from error
    complete = chunk.rfind(b"\n") + 1
    if not complete and len(chunk) == CHUNK:
        raise InputError(f"'metrics.jsonl' holds no metrics: a line is longer than {CHUNK:,} bytes.")
    lines = chunk[:complete].decode("utf-8", errors="replace")
    more = status.st_size > start + len(chunk)
    return Tail(f"{status.st_ino}:{start + complete}", lines, more, replaced)


def newest_step(run: Path) -> int | None:
    """The environment step of the newest row; None if there is none yet.

    Raises:
        InputError: metrics.jsonl is not a regular file, or can't be read.
    """
    path = inside(run, "metrics.jsonl")
    try:
        if not path.exists():
            return None
        with open_to_read(path, LARGEST) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - END))
            lines = file.read(END).split(b"\n")
    except OSError as error:
        raise InputError(f"'metrics.jsonl' can't be read ({error.strerror}).") from error
    for line in reversed(lines[-200:]):
        with suppress(DamagedFileError):
            return parse(line, path)["step"].integer(high=2**53)
    return None


def films(run: Path) -> list[str]:
    """The names of the films and pictures in a run's folder dreams/, the newest first."""
    try:
        entries = [entry for entry in os.scandir(inside(run, "dreams")) if entry.is_file(follow_symlinks=False)]
        found = [(entry.stat().st_mtime, entry.name) for entry in entries]
    except (OSError, InputError):
        return []
    return [name for _, name in sorted(found, reverse=True) if Path(name).suffix in FILMS and name.isprintable()]


def film(run: Path, name: str) -> tuple[Path, str]:
    """The path and media type of a film in a run's folder dreams/.

    Raises:
        InputError: there is no such film.
    """
    path = inside(run, f"dreams/{name}")
    if Path(name).name != name or path.suffix not in FILMS or not path.is_file():
        raise InputError(f"The run has no film {name!r}.")
    return path, FILMS[path.suffix]


def _position(cursor: str, status: os.stat_result) -> tuple[bool, int]:
    """Whether the file is another one than the cursor's, and where to continue."""
    if not cursor:
        return False, 0
    inode, offset = (int(number) for number in cursor.split(":"))
    if inode != status.st_ino or offset > status.st_size:
        return True, 0
    return False, offset
