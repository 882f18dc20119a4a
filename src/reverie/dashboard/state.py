"""Whether a run is live, finished, interrupted or has stopped responding. May import: nothing of Reverie."""

import os
from enum import StrEnum
from pathlib import Path

LOCKS = Path("/proc/locks")  # where Linux lists the locks that processes of this machine hold
SILENT = 300.0  # seconds without a new row after which a training process counts as stuck
RECENT = 30.0  # seconds for which a run without a known process may belong to another machine


class State(StrEnum):
    """What a run is doing, in the words of the page."""

    LIVE = "live"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    SILENT = "stopped responding"
    DAMAGED = "damaged"


def state_of(run: Path, *, done: bool, quiet: float) -> State:
    """The state of a run.

    Args:
        run: its folder.
        done: whether it has taken all its steps.
        quiet: seconds since it last wrote a row.
    """
    trains = is_locked(run / ".lock")
    if trains:
        return State.LIVE if quiet < SILENT else State.SILENT
    if done:
        return State.FINISHED
    return State.LIVE if quiet < (SILENT if trains is None else RECENT) else State.INTERRUPTED


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
