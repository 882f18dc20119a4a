"""Where environments are stepped: in this process one after the other, or each in a process of its own.

Both are asked in the same way: `start` a reset or a step of one environment, `finish` it, and read the observations of
all. What goes wrong in one environment is raised by its `finish`, and `restart` makes that environment anew.

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

GRACE = 30  # seconds that a process goes on after SIGTERM, if the one that trains doesn't end it


class Outcome(NamedTuple):
    """What a reset or step gave besides the observation."""

    reward: float
    terminated: bool
    truncated: bool


class Workers(Protocol):
    """N environments of one kind."""

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]
    render_mode: str | None
    metadata: dict[str, Any]

    def start(self, index: int, command: str, argument: Any) -> None:
        """Begin "reset" (with a seed or None), "step" (with an action) or "render"."""

    def finish(self, index: int, timeout: float | None = None) -> Any:
        """What that gave: an `Outcome`, or a frame. Raises what the environment raised; TimeoutError after seconds."""

    def wait(self, timeout: float | None = None) -> list[int]:
        """Which environments can be finished without waiting, at least one; all of them have been started.

        Those that have not answered for `timeout` seconds are among them.
        """

    def observations(self) -> Any:
        """Of all environments, batched. The row of one is valid from its `finish` to its next `start`."""

    def restart(self, index: int, timeout: float | None = None) -> None:
        """Give up one environment, in whatever state it is, and make it anew."""

    def close(self) -> None:
        """Close all."""


class InProcess:
    """Steps environments in this process. What hangs, hangs."""

    def __init__(self, makers: Sequence[Maker]) -> None:
        self._makers = makers
        self.envs = [make() for make in makers]
        self.observation_space, self.action_space = self.envs[0].observation_space, self.envs[0].action_space
        self.render_mode, self.metadata = self.envs[0].render_mode, self.envs[0].metadata
        self._observations: list[Any] = [None] * len(makers)
        self._results: list[Any] = [None] * len(makers)

    def start(self, index: int, command: str, argument: Any) -> None:
        try:
            self._results[index], observation = _do(self.envs[index], command, argument)
        except Exception as error:  # whatever it is, it is the environment's, and for `finish` to raise
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
        with contextlib.suppress(Exception):  # it may be broken in any way
            self.envs[index].close()
        self.envs[index] = self._makers[index]()

    def close(self) -> None:
        for env in self.envs:
            with contextlib.suppress(Exception):  # one that is broken must not keep the others open
                env.close()


class InProcesses:
    """Steps each environment in a process of its own; observations come through shared memory."""

    def __init__(self, makers: Sequence[Maker]) -> None:
        example = makers[0]()  # the memory must be there before the processes are
        self.observation_space, self.action_space = example.observation_space, example.action_space
        self.render_mode, self.metadata = example.render_mode, example.metadata
        example.close()
        self._makers = makers
        self._context = multiprocessing.get_context("spawn")  # not forked: the threads of JAX don't survive that
        self._memory = create_shared_memory(self.observation_space, len(makers), self._context)  # type: ignore[arg-type]
        self._processes: list[tuple[BaseProcess, Connection]] = []
        self._since = [0.0] * len(makers)
        self._tickets = [0] * len(makers)  # of the newest request; answers to older ones are of no interest any more
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
        with contextlib.suppress(OSError):  # if it is gone, `finish` says so
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
                    f"the process of environment {index} ended by itself (exit status {process.exitcode})"
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
        """Wait until the environment stands."""
        try:
            self.finish(index, timeout)
        except ChildProcessError as error:
            raise RuntimeError(
                "an environment's process ended while it was starting: see its message above, and in a script, "
                'keep what runs under `if __name__ == "__main__":`'
            ) from error

    def _end(self, index: int) -> None:
        process, pipe = self._processes[index]
        process.kill()
        process.join()
        pipe.close()


def _do(env: Guarded, command: str, argument: Any) -> tuple[Any, Any]:
    """The outcome of a command and the observation, if there is one."""
    if command == "reset":
        observation, _ = env.reset(seed=argument)
        return Outcome(0.0, False, False), observation
    if command == "step":
        observation, reward, terminated, truncated, _ = env.step(argument)
        return Outcome(reward, terminated, truncated), observation
    return env.render(), None


def _serve(index: int, make: Any, pipe: Connection, space: gym.Space[Any], memory: Any) -> None:
    """The life of a process."""
    # Ctrl-C goes to every process of the terminal and SIGTERM to every one of a job: the one that trains decides what
    # happens, and has some seconds for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, lambda *_: signal.alarm(GRACE))
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
    except EOFError:  # the process that trains is gone
        pass
    except Exception as error:
        # Its text first, which can always be sent; then the error itself, which may not arrive.
        pipe.send((-1, f"{type(error).__name__}: {error}", traceback.format_exc()))
        try:
            pipe.send(error)
        except Exception:
            pipe.send(None)


def _received(pipe: Connection, text: str, trace: str) -> Exception:
    """The error that ended a process, with its traceback, which would else be lost on the way."""
    try:
        error = pipe.recv()
    except Exception:  # it can't be made here
        error = None
    if not isinstance(error, Exception):
        error = RuntimeError(text)
    error.add_note("In the environment's process:\n" + trace)
    return error
