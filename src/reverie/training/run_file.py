"""A run's `run.json`: on which machine and with which versions it runs, since when, and how it ended.

May import: `errors`, `storage`.
"""

import os
import platform
import socket
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import jax

from reverie.errors import InputError
from reverie.storage import as_json, read_document, write_text

NAME = "run.json"
Status = Literal["running", "finished", "interrupted", "failed"]
PACKAGES = ("reverie", "jax", "jaxlib", "equinox", "numpy", "gymnasium")


class RunFile:
    """Writes `run.json` when training starts and when it ends; `warn` is called if it can't.

        status           running, finished, interrupted (by a signal) or failed (by an error)
        reason           what ended it, as a sentence or name; null while it runs and after all its steps
        saved            whether the newest state is on disk; null while it runs
        first_started    when the run began, in unix seconds
        started, ended   of the newest process that trains or trained here; `ended` is null while it runs
        processes        how many have trained here, one after the other
        env_steps, updates, steps   progress when the file was written, and the number of steps to train for
        pid, host, machine, versions

    A process that is killed leaves the status 'running'; it is running only if it holds the lock on `.lock`.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._path, self._warn = folder / NAME, warn
        self._contents: dict[str, Any] = {}

    def start(self, env_steps: int, updates: int, steps: int) -> None:
        """Write that this process trains here now."""
        now, earlier = time.time(), read_run_file(self._path.parent)
        begun, processes = earlier.get("first_started"), earlier.get("processes")
        self._contents = {
            "status": "running",
            "reason": None,
            "saved": None,
            "first_started": begun if isinstance(begun, float) else now,
            "started": now,
            "ended": None,
            "processes": processes + 1 if isinstance(processes, int) else 1,
            "env_steps": env_steps,
            "updates": updates,
            "steps": steps,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "machine": _machine(),
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        }
        self._write()

    def end(self, status: Status, reason: str | None, env_steps: int, updates: int, *, saved: bool) -> None:
        """Write how it ended."""
        self._contents |= {"status": status, "reason": reason, "saved": saved, "ended": time.time()}
        self._contents |= {"env_steps": env_steps, "updates": updates}
        self._write()

    def _write(self) -> None:
        try:
            write_text(self._path, as_json(self._contents))
        except OSError as error:
            self._warn(f"{NAME} could not be written ({error}).")


def read_run_file(folder: Path) -> dict[str, Any]:
    """The contents of a folder's `run.json`; empty if there is none, or it can't be read."""
    try:
        return read_document(folder / NAME).mapping()
    except (OSError, InputError):
        return {}


def _machine() -> dict[str, Any]:
    devices = jax.devices()
    return {
        "system": platform.platform(),
        "processor": platform.processor() or platform.machine(),
        "cpus": os.cpu_count(),
        "backend": jax.default_backend(),
        "devices": [device.device_kind for device in devices],
    }


def _version(package: str) -> str | None:
    """The version of an installed package; None for one that runs from its sources."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
