"""Several environments stepped as one, speaking the model's language: `Step` out, policy actions in.

This is section 1 of algorithm.md: flags, no step lost or doubled where one episode ends and the next begins, and what
becomes of an environment that fails.

May import: `reverie.spaces`, `reverie.experience`, and of this room all but `batched` and `opening`; Gymnasium.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from gymnasium.vector.utils import batch_space, iterate

from reverie.envs.guard import BrokenEnvironmentError, Guarded
from reverie.envs.make import EnvLike, exists, make_env
from reverie.envs.seeds import seeds
from reverie.envs.workers import InProcess, InProcesses, Outcome, Workers
from reverie.envs.wrappers import wrapped
from reverie.errors import InputError
from reverie.experience import Step, with_rows
from reverie.spaces import EVERYTHING, Spaces

Mode = Literal["serial", "parallel", "async"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds before an environment is made anew; doubles while it fails again


class Environments:
    """N copies of an environment; each starts its next episode by itself.

    An episode's final observation is a record of its own (is_last), and so is the first observation of the
    next one (is_first, reward 0), which the step after it returns. That step ignores the action it is given.

    They are stepped together, unless the mode is "async": then a step takes actions to those that are `ready` and
    returns as soon as any has answered. Rows of the others are what they showed before; how far each gets is a matter
    of time.

    Args:
        env: a name, a function that makes an environment, or, for a single one, an environment (see
            `make_env`).
        num_envs: how many of them.
        seed: where the randomness of all of them comes from. Environment i gets the same seed however many
            there are.
        held_out: take seeds that no environments have which are not held out: for evaluation beside training.
        mode: "serial", one after the other in this process; "parallel", each in a process of its own; or "async", so
            too, but none waits for another. A process starts afresh, so a script that asks for this must keep what it
            runs under `if __name__ == "__main__":`.
        restarts: how often, in all, an environment that fails is made anew. Its episode ends there, cut off.
        timeout: seconds after which one that doesn't answer has failed; only a process can be given up.
        keys: a regular expression: which observations of a Dict or Tuple are taken.
        time_limit: decisions after which an episode is truncated; 0: none but the environment's own.
        action_repeat: how often an action is done, as one decision.
        env_kwargs: what to make each environment with, for instance {"render_mode": "rgb_array"}.

    Attributes:
        ready: (N,) bool, whose newest record the last step has: all, unless the mode is "async".
        failures: how often one was made anew.
        tell: is called with a sentence about each failure.

    Raises:
        UnsupportedSpaceError: Reverie can't learn from its observations or act in its action space.
        UnknownEnvironmentError, MissingDependencyError: see `make_env`.
    """

    num_envs: int
    spaces: Spaces

    def __init__(
        self,
        env: EnvLike,
        num_envs: int = 1,
        *,
        seed: int = 0,
        held_out: bool = False,
        mode: Mode = "serial",
        restarts: int = 0,
        timeout: float | None = None,
        keys: str = EVERYTHING,
        time_limit: int = 0,
        action_repeat: int = 1,
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        existing = exists(env)
        if existing and (num_envs > 1 or mode != "serial"):
            raise InputError(
                "an environment that exists already can only be stepped alone and in this process: "
                "give its name or a function that makes it"
            )
        wrap = partial(wrapped, time_limit=time_limit, action_repeat=action_repeat)
        makers = [partial(_make, i, env, keys, wrap, dict(env_kwargs or {})) for i in range(num_envs)]
        self._workers: Workers = InProcess(makers) if mode == "serial" else InProcesses(makers)
        self.num_envs = num_envs
        self.spaces = Spaces(self._workers.observation_space, self._workers.action_space)
        self._actions = batch_space(self._workers.action_space, num_envs)
        self._seed = seed
        self._new_seeds = partial(seeds, held_out=held_out)
        self._seeds: list[int] | None = self._new_seeds(seed, num_envs)
        self._timeout = timeout
        self._allowed = 0 if existing else restarts  # what exists can't be made anew
        self._streaks = [0] * num_envs  # failures since the last good step
        self._cancelled = threading.Event()
        self.tell: Callable[[str], object] = lambda sentence: None
        self.failures = 0
        self.ready = np.ones(num_envs, bool)
        self._asynchronous = mode == "async"
        self._ended: np.ndarray | None = None  # (N,) bool, is_last of the previous record
        self._shown: Step | None = None  # the last step

    def reset(self, *, seed: Sequence[int] | None = None) -> Step:
        """Start an episode in every environment. The first call seeds them, later ones go on from there.

        Args:
            seed: seeds them anew, from these numbers together.

        Returns:
            The first observations: is_first, reward 0.

        Raises:
            BrokenEnvironmentError: an observation that doesn't fit its space or isn't finite.
        """
        chosen = self._seeds if seed is None else self._new_seeds(seed, self.num_envs)
        for i in range(self.num_envs):
            self._workers.start(i, "reset", chosen[i] if chosen else None)
        step = self._finish_all(range(self.num_envs), np.ones(self.num_envs, bool))
        self._seeds = None
        return step

    def step(self, action: Mapping[str, np.ndarray]) -> Step:
        """Do one action in every environment that is ready.

        Args:
            action: key → (N, *shape), of the policy: numbers in [-1, 1], classes from 0. Ignored where the
                previous record is the last of its episode.

        Returns:
            What they show then, with the reward received on the way.

            An environment that failed and was made anew shows the first observation of an episode.

        Raises:
            BrokenEnvironmentError: an observation that doesn't fit its space, or a number that isn't finite.
            ValueError: an action that the spaces can't decode.
            Exception: what an environment raised, when it may not be made anew any more.
        """
        if self._ended is None:
            raise RuntimeError("call reset() before the first step()")
        for i, one in enumerate(iterate(self._actions, self.spaces.decode_action(action))):
            if self.ready[i]:
                command, argument = ("reset", None) if self._ended[i] else ("step", one)
                self._workers.start(i, command, argument)
        answered = self._workers.wait(self._timeout) if self._asynchronous else range(self.num_envs)
        return self._finish_all(answered, self._ended.copy())

    def _finish_all(self, indices: Sequence[int], is_first: np.ndarray) -> Step:
        """A step with the answers of some environments."""
        outcomes = [self._finish(i, is_first) for i in indices]
        self.ready = np.isin(np.arange(self.num_envs), indices)
        rows = slice(None) if self.ready.all() else np.array(indices)
        step = self._record(outcomes, rows, is_first[rows])
        if not self.ready.all():
            assert self._shown is not None  # all were reset before
            step = with_rows(self._shown, self.ready, step)
        self._ended, self._shown = step.is_last.copy(), step
        return step

    def _finish(self, index: int, is_first: np.ndarray) -> Outcome:
        """What one environment answers, or, in its place, a new one; then `is_first` is marked."""
        try:
            outcome: Outcome = self._workers.finish(index, self._timeout)
        except Exception as error:
            is_first[index] = True
            return self._made_anew(index, error)
        self._streaks[index] = 0
        return outcome

    def _made_anew(self, index: int, error: Exception) -> Outcome:
        """Another environment in the place of one that failed, after a pause; the error if that was too often."""
        while True:
            if self.failures >= self._allowed:
                error.add_note(
                    f"Raised by environment {index}; of {self._allowed} restarts, {self.failures} were used."
                )
                raise error
            self.failures += 1
            self._streaks[index] += 1
            self.tell(
                f"environment {index} failed ({type(error).__name__}: {error}) and is made anew; "
                f"{self._allowed - self.failures} more times are allowed."
            )
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._streaks[index] - 1))
            if self._cancelled.wait(pause):
                raise error
            try:
                self._workers.restart(index, self._timeout)
                self._workers.start(index, "reset", self._new_seeds([self._seed, index, self.failures], 1)[0])
                outcome: Outcome = self._workers.finish(index, self._timeout)
            except Exception as again:
                error = again
            else:
                return outcome

    def cancel(self) -> None:
        """Make no environment anew any more: a step that waits for one raises what it failed with."""
        self._cancelled.set()

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the environments, such as `render_fps`."""
        return self._workers.metadata

    def render_frame(self, index: int = 0) -> np.ndarray:
        """What environment `index` looks like now: uint8, (height, width, 3).

        Raises:
            ValueError: the environments were not made with render_mode="rgb_array".
        """
        if self._workers.render_mode != "rgb_array":
            raise InputError(
                f"the render mode is {self._workers.render_mode!r}: make the environments with "
                'env_kwargs={"render_mode": "rgb_array"}'
            )
        self._workers.start(index, "render", None)
        return np.array(self._workers.finish(index))

    def state(self) -> list[Any] | None:
        """Where every environment stands, in JSON's types, for `restore`; None where they can't say.

        They can where each has methods `get_state() -> JSON` and `set_state(state)` of its own, and they are stepped in
        this process. Wrappers around an environment have none: theirs would be lost.
        """
        envs = self._restorable()
        return [env.get_state() for env in envs] if envs else None

    def restore(self, state: Sequence[Any], ended: np.ndarray) -> bool:
        """Go on from a `state` instead of a reset; `ended` is is_last of the record before it. Whether they could."""
        envs = self._restorable()
        if len(envs) != len(state):
            return False
        for env, one in zip(envs, state, strict=True):
            env.set_state(one)
        self._seeds, self._ended = None, ended.copy()
        return True

    def _restorable(self) -> list[Any]:
        """The environments themselves, if all have what `state` needs; else none."""
        envs: list[Any] = [one.env for one in self._workers.envs] if isinstance(self._workers, InProcess) else []
        return envs if all(hasattr(env, "get_state") and hasattr(env, "set_state") for env in envs) else []

    def close(self) -> None:
        """Close every environment, and end the processes."""
        self._workers.close()

    def __enter__(self) -> Environments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record(self, outcomes: Sequence[Outcome], rows: Any, is_first: np.ndarray) -> Step:
        try:
            encoded = self.spaces.encode_observation(self._workers.observations(), rows)
        except ValueError as error:
            raise BrokenEnvironmentError(str(error)) from error
        rewards, terminated, truncated = zip(*outcomes, strict=True)
        return Step(
            observation=encoded,
            reward=np.array(rewards, np.float32),
            is_first=is_first,
            is_last=np.array(terminated) | np.array(truncated),
            is_terminal=np.array(terminated),
        )


def _make(
    index: int, env: EnvLike, keys: str, wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]], kwargs: dict[str, Any]
) -> Guarded:
    return Guarded(wrap(make_env(env, **kwargs)), index, keys)
