"""Workers that step environments: one after the other in this process, or each in its own process.

Both have the same interface: `start` a reset or a step of one environment, `finish` it, and read all observations. An
error in an environment is raised by its `finish`; `restart` then replaces that environment.

May import: `reverie.envs.guard`; Gymnasium.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, Protocol

import gymnasium as gym
from gymnasium.vector.utils import (
    CloudpickleWrapper,
    concatenate,
    create_empty_array,
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

from reverie.envs.guard import Guarded

Maker = Callable[[], Guarded]

GRACE = 30  # seconds that a process keeps running after SIGTERM unless its parent ends it


class Outcome(NamedTuple):
    """The result of a reset or step, without the observation."""

    reward: float
    terminated: bool
    truncated: bool


class Workers(Protocol):
    """N copies of an environment."""

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    render_mode: str | None

    def start(self, index: int, command: str, argument: Any) -> None:
        """Start a "reset" (with a seed or None), a "step" (with an action) or a "render"."""

    def finish(self, index: int, timeout: float | None = None) -> Any:
        """The result: an `Outcome`, or a frame. Raises the environment's error, or TimeoutError after `timeout`."""

    def wait(self, timeout: float | None = None) -> list[int]:
        """Wait until at least one of the started environments can be finished without blocking, and return these.

        Includes environments that have not answered for `timeout` seconds.
        """

    def observations(self) -> Any:
        """The batched observations of all environments. A row is valid from `finish` to the next `start`."""

    def restart(self, index: int, timeout: float | None = None) -> None:
        """Abandon one environment, whatever its state, and create it again."""

    def close(self) -> None:
        """Close all environments."""


class InProcess:
    """Steps environments in this process, without protection against hanging ones."""

    def __init__(self, makers: Sequence[Maker]) -> None:
        self._makers = makers
        self.envs = [make() for make in makers]
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        self.render_mode = self.envs[0].render_mode
        self._observations: list[Any] = [None] * len(makers)
        self._results: list[Any] = [None] * len(makers)

    def start(self, index: int, command: str, argument: Any) -> None:
        try:
            self._results[index], observation = _do(self.envs[index], command, argument)
        except Exception as error:  # any error is the environment's, and `finish` raises it
            self._results[index] = error
        else:
            if command != "render":
                self._observations[index] = observation

    def finish(self, index: int, timeout: float | None = None) -> Any:
        if isinstance(result := self._results[index], Exception):
            raise result
        return result

    def wait(self, timeout: float | None = None) -> list[int]:
        return list(range(len(self.envs)))

    def observations(self) -> Any:
        space = self.observation_space
        batch: Any = create_empty_array(space, len(self._observations))
        return concatenate(space, self._observations, batch)

    def restart(self, index: int, timeout: float | None = None) -> None:
        with contextlib.suppress(Exception):  # it may be broken
            self.envs[index].close()
        self.envs[index] = self._makers[index]()

    def close(self) -> None:
        for env in self.envs:
            with contextlib.suppress(Exception):  # a broken one must not keep the others open
                env.close()


class InProcesses:
    """Steps each environment in its own process; observations are transferred through shared memory."""

    def __init__(self, makers: Sequence[Maker]) -> None:
        example = makers[0]()  # the memory must exist before the processes
        self.observation_space, self.action_space = example.observation_space, example.action_space
        self.render_mode = example.render_mode
        example.close()
        self._makers = makers
        self._context = multiprocessing.get_context("spawn")  # JAX's threads don't survive a fork
        self._memory = create_shared_memory(self.observation_space, len(makers), self._context)  # type: ignore[arg-type]
        self._processes: list[tuple[BaseProcess, Connection]] = []
        self._since = [0.0] * len(makers)
        self._tickets = [0] * len(makers)  # of the latest requests; answers to earlier ones are ignored
        try:
            self._processes = [self._launch(index) for index in range(len(makers))]
            for index in range(len(makers)):
                self._made(index)
        except BaseException:
            self.close()
            raise

    def start(self, index: int, command: str, argument: Any) -> None:
        self._since[index] = time.monotonic()
        self._tickets[index] += 1
        with contextlib.suppress(OSError):  # if the process is gone, `finish` reports it
            self._processes[index][1].send((self._tickets[index], command, argument))

    def finish(self, index: int, timeout: float | None = None) -> Any:
        process, pipe = self._processes[index]
        while True:
            left = None if timeout is None else max(0.0, self._since[index] + timeout - time.monotonic())
            if not pipe.poll(left):
                raise TimeoutError(f"environment {index} has not answered for {timeout:g} seconds")
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
                return result

    def wait(self, timeout: float | None = None) -> list[int]:
        now = time.monotonic()
        left = None if timeout is None else max(0.0, min(self._since) + timeout - now)
        answered = multiprocessing.connection.wait([pipe for _, pipe in self._processes], left)
        overdue = [timeout is not None and since + timeout <= time.monotonic() for since in self._since]
        return [i for i, (_, pipe) in enumerate(self._processes) if pipe in answered or overdue[i]]

    def observations(self) -> Any:
        return read_from_shared_memory(self.observation_space, self._memory, len(self._processes))

    def restart(self, index: int, timeout: float | None = None) -> None:
        self._end(index)
        self._processes[index] = self._launch(index)
        self._made(index, timeout)

    def close(self) -> None:
        for _, pipe in self._processes:
            with contextlib.suppress(OSError):
                pipe.send((0, "close", None))
        deadline = time.monotonic() + 5
        for index, (process, _) in enumerate(self._processes):
            process.join(max(0.0, deadline - time.monotonic()))
            self._end(index)

    def _launch(self, index: int) -> tuple[BaseProcess, Connection]:
        ours, theirs = self._context.Pipe()
        make = CloudpickleWrapper(self._makers[index])
        arguments = (index, make, theirs, self.observation_space, self._memory)
        process = self._context.Process(target=_serve, args=arguments, daemon=True, name=f"environment {index}")
        process.start()
        theirs.close()
        self._since[index], self._tickets[index] = time.monotonic(), 0
        return process, ours

    def _made(self, index: int, timeout: float | None = None) -> None:
        """Wait until the environment is created."""
        try:
            self.finish(index, timeout)
        except ChildProcessError as error:
            raise RuntimeError(
                "The process of an environment ended while starting: see its message above. In a script, keep the "
                'top-level code under `if __name__ == "__main__":`.'
            ) from error

    def _end(self, index: int) -> None:
        process, pipe = self._processes[index]
        process.kill()
        process.join()
        pipe.close()


def _do(env: Guarded, command: str, argument: Any) -> tuple[Any, Any]:
    """The result of a command, and the observation if there is one."""
    if command == "reset":
        observation, _ = env.reset(seed=argument)
        return Outcome(0.0, False, False), observation
    if command == "step":
        observation, reward, terminated, truncated, _ = env.step(argument)
        return Outcome(reward, terminated, truncated), observation
    return env.render(), None


def _serve(index: int, make: Any, pipe: Connection, space: gym.Space[Any], memory: Any) -> None:
    """Run one environment: the main function of a worker process."""
    # Ctrl-C reaches all processes of a terminal and SIGTERM all of a job. The parent decides what happens; the workers
    # give it some seconds.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, _end_later)
    try:
        env = make()
        pipe.send((0, None, None))
        while (request := pipe.recv())[1] != "close":
            ticket, command, argument = request
            result, observation = _do(env, command, argument)
            if command != "render":
                write_to_shared_memory(space, index, observation, memory)
            pipe.send((ticket, result, None))
        env.close()
    except EOFError:  # the parent is gone
        pass
    except Exception as error:
        # First the text, which can always be sent; then the error itself, which may not arrive.
        pipe.send((-1, f"{type(error).__name__}: {error}", traceback.format_exc()))
        try:
            pipe.send(error)
        except Exception:
            pipe.send(None)


def _end_later(*_: object) -> None:
    """Handle SIGTERM: end the process after `GRACE` seconds."""
    signal.alarm(GRACE)


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
