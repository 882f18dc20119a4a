"""Signals that end a run in order. May import: nothing of Reverie."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

RESUME_STATUS = 75
"""The exit status of a run that a signal other than Ctrl-C ended: saved, repeat the command to resume it.

It is EX_TEMPFAIL of sysexits.h, "try again". 128 + signal would not do: the shell reports that for a process that was
killed before it could save, too. A job script requeues itself with: `[ $? -eq 75 ] && scontrol requeue $SLURM_JOB_ID`.
"""

# Ctrl-C; what schedulers send before they kill; a closed terminal; what Slurm's --signal is usually set to.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


@contextmanager
def stopping(stop: Callable[[signal.Signals], None]) -> Iterator[None]:
    """Inside, the first of the signals calls `stop` instead of ending the process. Main thread only.

    A Ctrl-C that comes later interrupts as usual, so that there is a way out. The other signals are then ignored:
    schedulers repeat them while the run is being saved. Signals that the process ignores (as under nohup) stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number: int, _: Any) -> None:
        for other in previous:
            signal.signal(other, previous[other] if other == signal.SIGINT else signal.SIG_IGN)
        stop(signal.Signals(number))

    known = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]  # Windows has two of them
    previous = {number: signal.getsignal(number) for number in known}
    previous = {number: handler for number, handler in previous.items() if handler not in (signal.SIG_IGN, None)}
    for number in previous:
        signal.signal(number, first)
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def readable(number: signal.Signals) -> str:
    """Return what a user calls the signal."""
    return "Ctrl-C" if number == signal.SIGINT else number.name


def end_process(number: signal.Signals) -> NoReturn:
    """Raise what ends the process after a signal: KeyboardInterrupt, or SystemExit with `RESUME_STATUS`."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(RESUME_STATUS)
