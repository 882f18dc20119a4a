"""Ctrl-C and SIGTERM. May import: nothing of Reverie."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def stopping(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM calls `stop`, a second one ends the process as usual. Main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def first(number: int, _: Any) -> None:
        for name, handler in previous.items():
            signal.signal(name, handler)
        stop()

    previous = {name: signal.signal(name, first) for name in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for name, handler in previous.items():
            signal.signal(name, handler)
