"""Parallel workers: each environment runs in its own process.

The spaces come from the first process, so that no environment is ever created in the training process. A worker may
start processes of its own; it forms a process group with them, which ends with the training process however that ends.

May import: `guard`, `probe`, `rows`, `workers`; Gymnasium.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import random
import signal
import threading
import time
import traceback
import weakref
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from gymnasium.vector.utils import CloudpickleWrapper

from reverie.envs.guard import Guarded
from reverie.envs.probe import probe
from reverie.envs.rows import SharedRows
from reverie.envs.workers import Maker, close_failed, do

GRACE = 30  # seconds that a worker keeps running after SIGTERM unless its parent ends it
BUSY = 5.0  # seconds that a worker gets to close if it has not answered its last command
SEEDS = 2**32  # NumPy's global generator accepts smaller seeds only


class InProcesses:
    """Steps each environment in its own process; observations are transferred through shared memory.

    Args:
        makers: one for each environment; they are sent to the processes.
        seeds: what to create them from; also seeds the global generators of NumPy and Python in the processes.
        probed: creates the copy whose interface is checked first, in the first process; None for no check.
        timeout: seconds for creating, resetting, stepping or closing an environment; None for no limit.
    """

    def __init__(
        self,
        makers: Sequence[Maker],
        seeds: Sequence[int],
        *,
        probed: Maker | None = None,
        timeout: float | None = None,
    ) -> None:
        self._makers = makers
        self._context = multiprocessing.get_context("spawn")  # JAX's threads don't survive a fork
        self._processes: list[tuple[BaseProcess, Connection]] = []
        self._since = [0.0] * len(makers)  # when each got its latest command
        self._tickets = [0] * len(makers)  # of the latest commands; answers to earlier ones are ignored
        self._answered = [True] * len(makers)
        self._limits = [timeout] * len(makers)
        self._rows: SharedRows | None = None
        _open.add(self)
        try:
            self._launch(0, seeds[0], probed)
            self.spaces, self.render_mode, self.render_fps, masked = self._created(0)
            if masked:
                self._makers = [make.with_mask_from_info() for make in makers]
            for index in range(1, len(makers)):
                self._launch(index, seeds[index])
            self._rows = SharedRows(self.spaces, len(makers))
            for index in range(len(makers)):
                if index:
                    self._created(index)
                self._share(index)
        except BaseException:
            self._kill()
            raise

    def start(self, index: int, command: str, argument: Any) -> None:
        self._since[index] = time.monotonic()
        self._tickets[index] += 1
        self._answered[index] = False
        with contextlib.suppress(OSError):  # if the process is gone, `finish` reports it
            self._processes[index][1].send((self._tickets[index], command, argument))

    def finish(self, index: int) -> Any:
        process, pipe = self._processes[index]
        while True:
            if not pipe.poll(self._left(index)):
                raise TimeoutError(f"environment {index} has not answered for {self._limits[index]:g} seconds")
            try:
                ticket, result, trace = pipe.recv()
            except (EOFError, OSError) as error:
                process.join(1)
                raise ChildProcessError(
                    f"the process of environment {index} ended unexpectedly (exit status {process.exitcode})"
                ) from error
            if trace:
                raise _received(pipe, result, trace)
            if ticket == self._tickets[index]:
                self._answered[index] = True
                return result

    def wait(self) -> list[int]:
        indices = range(len(self._processes))
        left = None if self._limits[0] is None else min(self._left(i) or 0.0 for i in indices)
        ready = multiprocessing.connection.wait([pipe for _, pipe in self._processes], left)
        return [i for i in indices if self._processes[i][1] in ready or self._left(i) == 0]

    def observations(self) -> Any:
        assert self._rows is not None
        return self._rows.batch

    def restart(self, index: int, seed: int) -> None:
        self._end(index)
        self._launch(index, seed)
        self._created(index)
        self._share(index)

    def close(self) -> list[str]:
        problems = []
        for index in range(len(self._processes)):
            if not self._answered[index]:  # it may hang
                self._limits[index] = min(BUSY, self._limits[index] or BUSY)
            self.start(index, "close", None)
        for index in range(len(self._processes)):
            try:
                problem = self.finish(index)
            except TimeoutError as error:
                problem = close_failed(index, error)
            except Exception:  # it had failed before
                problem = None
            problems += [problem] if problem else []
        self._kill()
        return problems

    def _kill(self) -> None:
        """End all processes at once, and free the shared memory."""
        for index in range(len(self._processes)):
            self._end(index)
        self._processes = []
        if self._rows is not None:
            self._rows.close()
            self._rows = None
        _open.discard(self)

    def _left(self, index: int) -> float | None:
        """Seconds left for the latest command of an environment; None for no limit."""
        limit = self._limits[index]
        return None if limit is None else max(0.0, self._since[index] + limit - time.monotonic())

    def _launch(self, index: int, seed: int, probed: Maker | None = None) -> None:
        ours, theirs = self._context.Pipe()
        make = CloudpickleWrapper(self._makers[index])  # type: ignore[arg-type]
        check = CloudpickleWrapper(probed) if probed else None  # type: ignore[arg-type]
        arguments = (index, seed, make, check, theirs)
        process = self._context.Process(target=_serve, args=arguments, name=f"environment {index}")
        process.start()
        theirs.close()
        self._processes[index : index + 1] = [(process, ours)]
        self._tickets[index] = 0

    def _created(self, index: int) -> Any:
        """Wait until the process has started and then, at most for the timeout, until its environment is created."""
        _, pipe = self._processes[index]
        try:
            pipe.poll(None)
            self._since[index] = time.monotonic()
            self.finish(index)
            self._tickets[index] = 1
            self._since[index] = time.monotonic()
            return self.finish(index)
        except ChildProcessError as error:
            raise RuntimeError(
                "The process of an environment ended while starting: see its message above. In a script, keep the "
                'top-level code under `if __name__ == "__main__":`.'
            ) from error

    def _share(self, index: int) -> None:
        """Give a process the memory for its observations."""
        assert self._rows is not None
        self.start(index, "share", (len(self._makers), self._rows.name))
        self.finish(index)

    def _end(self, index: int) -> None:
        """Kill a process and those that it has started."""
        process, pipe = self._processes[index]
        if hasattr(os, "killpg") and process.pid is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.join()
        pipe.close()


_open: weakref.WeakSet[InProcesses] = weakref.WeakSet()


@atexit.register
def _kill_all() -> None:
    """End workers that nobody closed: Python would wait for them for ever."""
    for workers in list(_open):
        workers._kill()


class _ParentGoneError(Exception):
    """The training process has ended, so there is nobody to answer."""


def _serve(index: int, seed: int, make: Any, check: Any, pipe: Connection) -> None:
    """Run one environment: the main function of a worker process."""
    _live_and_die_with_parent()
    np.random.seed(seed % SEEDS)
    random.seed(seed)
    env: Guarded | None = None
    try:
        _send(pipe, (0, None, None))
        masked = check is not None and probe(check.fn)
        env = (make.fn.with_mask_from_info() if masked else make.fn)(seed)
        _send(pipe, (1, (env.spaces, env.render_mode, env.metadata.get("render_fps"), masked), None))
        _answer(index, env, pipe)
    except _ParentGoneError:
        _end_alone(env)
    except BaseException as error:
        try:
            # First the text, which can always be sent; then the error itself, which may not arrive.
            _send(pipe, (-1, f"{type(error).__name__}: {error}", traceback.format_exc()))
            try:
                _send(pipe, error)
            except Exception:
                _send(pipe, None)
        except _ParentGoneError:
            _end_alone(env)


def _answer(index: int, env: Guarded, pipe: Connection) -> None:
    """Answer commands until told to close."""
    rows: SharedRows | None = None
    while (request := _receive(pipe))[1] != "close":
        ticket, command, argument = request
        if command == "share":
            rows, result = SharedRows(env.spaces, *argument), None
        else:
            result, observation = do(env, command, argument)
            if command != "render":
                assert rows is not None
                rows.write(index, observation)
        _send(pipe, (ticket, result, None))
    problem = None
    try:
        env.close()
    except BaseException as error:
        problem = close_failed(index, error)
    if rows is not None:
        rows.close()
    _send(pipe, (request[0], problem, None))


def _send(pipe: Connection, message: Any) -> None:
    try:
        pipe.send(message)
    except ConnectionError as error:
        raise _ParentGoneError from error


def _receive(pipe: Connection) -> Any:
    try:
        return pipe.recv()
    except (EOFError, ConnectionError) as error:
        raise _ParentGoneError from error


def _end_alone(env: Guarded | None) -> None:
    """Close the environment after the parent has ended, and end this process and those that it has started."""
    if env is not None:
        with contextlib.suppress(BaseException):
            env.close()
    _end_group()


def _live_and_die_with_parent() -> None:
    """Ignore the signals that reach all processes of a terminal or a job, and end when the parent ends."""
    # Ctrl-C reaches all processes of a terminal and SIGTERM all of a job. The parent decides what happens; the workers
    # give it some seconds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, _end_later)
    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # a group of its own, with the processes that the environment starts
    threading.Thread(target=_end_with_parent, daemon=True, name="watch the parent").start()


def _end_later(*_: object) -> None:
    """Handle SIGTERM: end the process after `GRACE` seconds."""
    signal.alarm(GRACE)


def _end_with_parent() -> None:
    """Wait for the end of the parent, even by SIGKILL, and end this process and those that it has started."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    time.sleep(1)  # time to close an idle environment, which the closed pipe causes
    _end_group()


def _end_group() -> None:
    """End this process and those that it has started."""
    if hasattr(os, "killpg") and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _received(pipe: Connection, text: str, trace: str) -> Exception:
    """The error that ended a worker process, with its traceback as a note: pickling loses tracebacks."""
    try:
        error = pipe.recv()
    except Exception:  # it cannot be recreated here
        error = None
    if not isinstance(error, Exception):
        error = RuntimeError(text)
    error.add_note("In the environment's process:\n" + trace)
    return error
