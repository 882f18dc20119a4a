"""Metrics for TensorBoard, without TensorFlow. May import: `storage`.

Events are written directly. tensorboardX's SummaryWriter would pass them to a thread that dies when the disk is full,
and then wait for it forever.
"""

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary

from reverie.storage import subfolder


class TensorBoard:
    """Writes events to the folder, into one file unless writing fails.

    Events of earlier files that lie after `resume_step` are hidden.
    """

    name = "TensorBoard"

    def __init__(self, folder: Path, resume_step: int | None):
        self._folder, self._files = subfolder(folder.parent, folder.name, create=True), 0
        self._events: EventsWriter | None = None
        if resume_step is not None:
            start = SessionLog(status=SessionLog.START)
            self._do(lambda events: events.write_event(_event(resume_step + 1, session_log=start)))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Write a row."""
        summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
        self._do(lambda events: events.write_event(_event(step, summary=summary)))

    def flush(self) -> None:
        self._do(lambda events: events.flush())

    def close(self) -> None:
        self._do(lambda events: events.close())

    def _do(self, what: Callable[[EventsWriter], object]) -> None:
        """Use the current file. After a failure it may end in half an event, which stops readers: a new one begins."""
        if self._events is None:
            self._files += 1
            self._events = EventsWriter(str(self._folder / "events"), f".{os.getpid()}.{self._files}")
        try:
            what(self._events)
        except Exception:
            broken, self._events = self._events, None
            with contextlib.suppress(Exception):
                broken.close()
            raise


def _event(step: int, **content: Any) -> Event:
    return Event(wall_time=time.time(), step=step, **content)
