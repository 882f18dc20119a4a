"""Whether a run is live, finished, interrupted, failed or has stopped responding. May import: `errors`, `storage`."""

import os
import socket
from enum import StrEnum
from pathlib import Path

from reverie.errors import InputError
from reverie.storage import read_document

LOCKS = Path("/proc/locks")  # where Linux lists the locks that processes of this machine hold
SILENT = 300.0  # seconds without a new row after which a training process counts as stuck
RECENT = 30.0  # seconds for which a run without a known process may belong to another container
LARGEST = 2**16  # bytes of run.json


class State(StrEnum):
    """What a run is doing, in the words of the page."""

    LIVE = "live"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    SILENT = "stopped responding"
    DAMAGED = "damaged"


ENDED = {"finished": State.FINISHED, "interrupted": State.INTERRUPTED, "failed": State.FAILED}  # by what run.json says


def state_of(run: Path, *, done: bool, quiet: float) -> State:
    """The state of a run, from its lock and from the status in its `run.json`.

    Args:
        run: its folder.
        done: whether it has taken all its steps; for runs without a `run.json`.
        quiet: seconds since it last wrote a row.
    """
    trains = is_locked(run / ".lock")
    if trains:
        return State.LIVE if quiet < SILENT else State.SILENT
    status, host = _written(run)
    if status in ENDED:
        return ENDED[status]
    if status is None and done:
        return State.FINISHED
    elsewhere = trains is None or host not in (None, socket.gethostname())
    if quiet < (SILENT if elsewhere else RECENT):
        return State.LIVE
    return State.SILENT if elsewhere and status is not None else State.INTERRUPTED


def _written(run: Path) -> tuple[str | None, str | None]:
    """The status and the host in a run's `run.json`; None where it tells none."""
    try:
        data = read_document(run / "run.json", LARGEST)
        return data["status"].text(), data["host"].text()
    except (InputError, OSError):
        return None, None


def is_locked(path: Path) -> bool | None:
    """Whether a process of this machine holds the lock that training takes; None where the system doesn't list locks.

    The list is read instead of trying the lock, which a training that begins at this moment would find taken.
    """
    try:
        inode = os.stat(path).st_ino
        lines = LOCKS.read_text(encoding="ascii", errors="replace").splitlines()
    except FileNotFoundError:
        return None if not LOCKS.exists() else False
    except OSError:
        return None
    # 1: FLOCK  ADVISORY  WRITE 4242 08:01:1835043 0 EOF
    entries = [line.split() for line in lines]
    return any(fields[1:2] == ["FLOCK"] and fields[5].endswith(f":{inode}") for fields in entries)
