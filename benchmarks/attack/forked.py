"""Starts `reverie` commands as processes that have everything imported already: forks of this one.

Importing takes longer than a tiny run. JAX may be imported before a fork but not started, so nothing here computes.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

# Imported for the forks.
import gymnasium.envs.classic_control.cartpole
import gymnasium.vector
import jax
import tensorboardX

import reverie.cli
import reverie.dreams
import reverie.envs.catch
import reverie.results
import reverie.training

IMPORTED = (gymnasium, jax, tensorboardX, reverie)
HUNG = 124  # the exit status of a command that was ended because it took too long


def start(arguments: Sequence[str], output: Path) -> int:
    """Start a `reverie` command in a session of its own, with stdout and stderr in a file; returns its process id."""
    return _start(lambda: reverie.cli.main(arguments), output)


def _start(command: Callable[[], object], output: Path) -> int:
    output.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forks with threads: there are none yet
        process = os.fork()
    if process:
        return process
    status = 1
    try:
        os.setsid()
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, closefd=False) for number in (1, 2))  # noqa: SIM115
        status = _status(command)
    finally:
        os._exit(status)  # whatever happens, this process must not go on with what its parent does


def _status(command: Callable[[], object]) -> int:
    """Run the command, and end as an interpreter would, but without this process's own exit handlers."""
    status: object = 0
    try:
        atexit._clear()
        command()
    except SystemExit as ended:
        status = ended.code
    except BaseException:
        traceback.print_exc()
        status = 1
    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]  # waits for threads
        atexit._run_exitfuncs()
    return status if isinstance(status, int) else int(status is not None)


def ended(process: int) -> bool:
    """Whether a process has ended; its status is then gone."""
    return os.waitpid(process, os.WNOHANG)[0] != 0


def wait(process: int, seconds: float) -> int:
    """The exit status of a process, negative for a signal; after `seconds` it is killed."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    kill(process)
    return HUNG


def kill(process: int) -> None:
    """SIGKILL for a process, and only for it."""
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def run(arguments: Sequence[str], output: Path, seconds: float = 60) -> tuple[int, str]:
    """Run a command to its end; returns its exit status and what it printed."""
    status = wait(start(arguments, output), seconds)
    return status, output.read_text(errors="replace")


def call(function: Callable[[], object], output: Path, seconds: float = 60) -> tuple[int, str]:
    """Like `run`, for a function."""
    status = wait(_start(function, output), seconds)
    return status, output.read_text(errors="replace")


def left(session: int, seconds: float = 10) -> list[int]:
    """Processes of a session that do not end in this time by themselves."""
    end = time.monotonic() + seconds
    while (found := _members(session)) and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _members(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(folder.name))
    return found
