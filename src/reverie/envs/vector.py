"""Vectorized environments: policy actions in, `Step`s out, and restarts of environments that fail.

Implements section 1 of algorithm.md: the flags, and episode boundaries without a lost or duplicated step.

May import: `reverie.spaces`, `reverie.experience`, `reverie.text`, and of `envs` all but `batched` and `opening`;
Gymnasium.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from gymnasium.vector.utils import batch_space, iterate

from reverie.envs.from_dream import is_dream
from reverie.envs.functional import JaxEnv
from reverie.envs.guard import BrokenEnvironmentError, Guarded, InterfaceError, contained
from reverie.envs.interface import warn
from reverie.envs.make import EnvLike, accepted, exists, make_env
from reverie.envs.probe import has_mask_in_info, probe
from reverie.envs.processes import InProcesses
from reverie.envs.seeds import HELD_OUT_INDEX, seeds
from reverie.envs.suites import suite_of
from reverie.envs.workers import InProcess, Outcome, Workers
from reverie.envs.wrappers import wrapped
from reverie.errors import InputError
from reverie.experience import Step, with_rows
from reverie.spaces import EVERYTHING, Keys, Spaces
from reverie.text import counted

Mode = Literal["serial", "parallel", "async"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0  # seconds before a restart; doubles with every failure in a row


class Environments:
    """N copies of an environment, stepped as one; each copy starts its next episode automatically.

    The final observation of an episode is a record of its own (is_last). The next step returns the first observation
    of the next episode (is_first, reward 0) and ignores the action for that environment.

    All environments step together, except in the mode "async": there, a step sends actions to the environments that
    are `ready` and returns as soon as any of them has answered. The rows of the others are unchanged, and progress
    depends on timing.

    Args:
        env: a name, a function that creates an environment, or a single environment (see `make_env`).
        num_envs: N, the number of copies.
        seed: the source of all randomness. Environment i gets the same seed regardless of N.
        held_out: use seeds that training environments never have: for evaluation during training.
        mode: "serial": one after the other in this process; "parallel": each in its own process, in lockstep; "async":
            each in its own process, without waiting for each other. The last two start new processes, so a script
            must keep its top-level code under `if __name__ == "__main__":`.
        restarts: how many times, in total, a failed environment is restarted. Its episode is cut off there.
        timeout: seconds after which an environment in its own process counts as failed.
        keys: which observations are used, and how; a string is a regular expression that selects them.
        time_limit: decisions after which an episode is truncated; 0: only the environment's own limit.
        action_repeat: how many times an action is applied per decision.
        env_kwargs: keyword arguments that create each environment, for example {"render_mode": "rgb_array"}.
        reset_options: `options` of every reset.
        check: first check the interface of a copy that is closed again and, for several copies in one process, that
            they don't disturb each other (see `probe`). Environment objects and suites are never checked. The copy
            also shows whether the info has a mask of the actions; an environment object is reset once more for this.

    Attributes:
        ready: (N,) bool, the environments with a new record in the latest step: all, except in the mode "async".
        final_info: for each environment whose episode ended in the latest step, by index: the numbers and booleans of
            its last info.
        failures: how many times an environment has failed and was restarted.
        tell: called with a sentence about each failure and each warning.

    Raises:
        InterfaceError, SharedSimulatorError: see `probe`.
        UnsupportedSpaceError: Reverie does not support the observation space or the action space.
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
        keys: Keys | str = EVERYTHING,
        time_limit: int = 0,
        action_repeat: int = 1,
        env_kwargs: Mapping[str, Any] | None = None,
        reset_options: Mapping[str, Any] | None = None,
        check: bool = True,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        existing = exists(env)
        if existing and (num_envs > 1 or mode != "serial"):
            raise InputError(
                "An environment object can only be stepped alone and in this process: pass its name or a function that "
                "creates it."
            )
        keys = keys if isinstance(keys, Keys) else Keys(keys)
        settings = keys, time_limit, action_repeat, dict(env_kwargs or {}), dict(reset_options or {}) or None
        maker = partial(Maker, env, *settings, HELD_OUT_INDEX if held_out else 0)
        makers = [maker(i) for i in range(num_envs)]
        probed = [maker(num_envs + i) for i in range(2)] if check and not _trusted(env) else []
        self._new_seeds = partial(seeds, held_out=held_out)
        self._seeds: list[int] | None = self._new_seeds(seed, num_envs)
        self._workers: Workers
        if mode == "serial":
            masked = existing and check and has_mask_in_info(makers[0])
            if probed:
                masked = probe(probed[0], probed[1] if num_envs > 1 or held_out else None)
            makers = [make.with_mask_from_info() for make in makers] if masked else makers
            self._workers = InProcess(makers, self._seeds)
        else:
            self._workers = InProcesses(makers, self._seeds, probed=probed[0] if probed else None, timeout=timeout)
        self.num_envs = num_envs
        self.spaces = self._workers.spaces
        self._actions = batch_space(self.spaces.action_space, num_envs)
        self._seed = seed
        self._allowed = 0 if existing else restarts  # an environment object cannot be created again
        self._streaks = [0] * num_envs  # failures since the latest good step
        self._cancelled = threading.Event()
        self.tell: Callable[[str], object] = warn
        self.failures = 0
        self.ready = np.ones(num_envs, bool)
        self.final_info: dict[int, dict[str, float]] = {}
        self._asynchronous = mode == "async"
        self._unsaved = False  # whether `tell` knows that states cannot be saved
        self._ended: np.ndarray | None = None  # (N,) bool, is_last of the previous record
        self._shown: Step | None = None  # the latest step

    def reset(self, *, seed: Sequence[int] | None = None) -> Step:
        """Start an episode in every environment. Only the first call seeds them, unless `seed` is given.

        Args:
            seed: numbers from which all environments get new seeds.

        Returns:
            The first observations: is_first, reward 0.

        Raises:
            BrokenEnvironmentError: an observation does not fit its space or is not finite.
        """
        chosen = self._seeds if seed is None else self._new_seeds(seed, self.num_envs)
        for i in range(self.num_envs):
            self._workers.start(i, "reset", chosen[i] if chosen else None)
        step = self._finish_all(range(self.num_envs), np.ones(self.num_envs, bool))
        self._seeds = None
        return step

    def step(self, action: Mapping[str, np.ndarray]) -> Step:
        """Apply one action in every environment that is ready.

        Args:
            action: the policy's action, key → (N, *shape): numbers in [-1, 1], classes from 0. Ignored where the
                previous record is the last of its episode.

        Returns:
            The next observations and the rewards received. A restarted environment returns the first observation of
            an episode.

        Raises:
            BrokenEnvironmentError: an observation does not fit its space, or a number is not finite.
            ValueError: the spaces cannot decode the action.
            Exception: an environment's own error, once the restarts are used up.
        """
        if self._ended is None:
            raise RuntimeError("call reset() before the first step()")
        for i, one in enumerate(iterate(self._actions, self.spaces.decode_action(action))):
            if self.ready[i]:
                command, argument = ("reset", None) if self._ended[i] else ("step", one)
                self._workers.start(i, command, argument)
        answered = self._workers.wait() if self._asynchronous else range(self.num_envs)
        return self._finish_all(answered, self._ended.copy())

    def _finish_all(self, indices: Sequence[int], is_first: np.ndarray) -> Step:
        """A step with the new records of some environments."""
        outcomes = [self._finish(i, is_first) for i in indices]
        self.final_info = {i: outcome.info for i, outcome in zip(indices, outcomes, strict=True) if outcome.info}
        self.ready = np.zeros(self.num_envs, bool)
        self.ready[indices] = True
        rows = slice(None) if self.ready.all() else np.array(indices)
        step = self._record(outcomes, rows, is_first[rows])
        if not self.ready.all():
            assert self._shown is not None  # reset comes first
            step = with_rows(self._shown, self.ready, step)
        self._ended, self._shown = step.is_last.copy(), step
        return step

    def _finish(self, index: int, is_first: np.ndarray) -> Outcome:
        """The outcome of one environment; if it failed, that of its restarted copy, with `is_first` set."""
        try:
            outcome: Outcome = self._workers.finish(index)
        except Exception as error:
            is_first[index] = True
            return self._restarted(index, error)
        self._streaks[index] = 0
        return outcome

    def _restarted(self, index: int, error: Exception) -> Outcome:
        """The first record of a restarted environment, after a pause; raises the error if no restart is left."""
        while True:
            if self.failures >= self._allowed or _hopeless(error, self._streaks[index]):
                error.add_note(f"Raised by environment {index}; {self.failures} of {self._allowed} restarts were used.")
                raise error
            self.failures += 1
            self._streaks[index] += 1
            self.tell(
                f"Environment {index} failed ({type(error).__name__}: {error}). Restarting it; "
                f"{counted(self._allowed - self.failures, 'more restart')} allowed."
            )
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (self._streaks[index] - 1))
            if self._cancelled.wait(pause):
                raise error
            try:
                new = self._new_seeds([self._seed, index, self.failures], 1)[0]
                self._workers.restart(index, new)
                self._workers.start(index, "reset", new)
                outcome: Outcome = self._workers.finish(index)
            except Exception as again:
                error = again
            else:
                return outcome

    def cancel(self) -> None:
        """Stop restarting environments: a step that is waiting to restart one raises that environment's error."""
        self._cancelled.set()

    @property
    def render_fps(self) -> object:
        """The frame rate in the metadata of the environments, unchecked."""
        return self._workers.render_fps

    def render_frame(self, index: int = 0) -> np.ndarray:
        """An image of environment `index`: uint8, (height, width, 3).

        Raises:
            InputError: the environments were not created with render_mode="rgb_array".
        """
        if self._workers.render_mode != "rgb_array":
            raise InputError(
                f"The environments have the render mode {self._workers.render_mode!r}: create them with "
                'env_kwargs={"render_mode": "rgb_array"}.'
            )
        self._workers.start(index, "render", None)
        return np.array(self._workers.finish(index))

    def state(self) -> list[Any] | None:
        """The state of every environment in JSON's types, for `restore`; None if they cannot save it.

        Saving requires that each environment defines `get_state() -> JSON` and `set_state(state)` and runs in this
        process. Wrappers around an environment don't count: their own state would be lost.
        """
        try:
            states = [env.get_state() for env in self._restorable()]
            json.dumps(states)
        except Exception as error:  # of the environment, or about a value that JSON cannot hold
            if not self._unsaved:
                self.tell(
                    f"The environments' get_state() cannot be saved as JSON ({type(error).__name__}: {error}); a "
                    "resumed run starts new episodes. Return only dicts, lists, strings, numbers and booleans of "
                    "Python to resume exactly."
                )
            self._unsaved = True
            return None
        return states or None

    def restore(self, state: Sequence[Any], ended: np.ndarray) -> bool:
        """Resume from a `state` instead of a reset; `ended`, (N,) bool, is is_last of the record before it.

        Returns:
            False if the environments cannot resume.
        """
        envs = self._restorable()
        if len(envs) != len(state):
            return False
        try:
            for env, one in zip(envs, state, strict=True):
                env.set_state(one)
        except Exception as error:
            self.tell(f"The environments' set_state() failed ({type(error).__name__}: {error}); new episodes start.")
            return False
        self._seeds, self._ended = None, ended.copy()
        return True

    def _restorable(self) -> list[Any]:
        """The environments themselves if all of them can save their state; otherwise an empty list."""
        envs: list[Any] = [one.env for one in self._workers.envs] if isinstance(self._workers, InProcess) else []
        return envs if all(hasattr(env, "get_state") and hasattr(env, "set_state") for env in envs) else []

    def close(self) -> None:
        """Close all environments and end their processes."""
        for problem in self._workers.close():
            self.tell(problem)

    def __enter__(self) -> Environments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record(self, outcomes: Sequence[Outcome], rows: Any, is_first: np.ndarray) -> Step:
        try:
            encoded = self.spaces.encode_observation(self._workers.observations(), rows)
        except ValueError as error:
            raise BrokenEnvironmentError(str(error)) from error
        rewards, terminated, truncated, _ = zip(*outcomes, strict=True)
        return Step(
            observation=encoded,
            reward=np.array(rewards, np.float32),
            is_first=is_first,
            is_last=np.array(terminated) | np.array(truncated),
            is_terminal=np.array(terminated),
        )


@dataclass(frozen=True)
class Maker:
    """Creates one of the environments; can be sent to another process."""

    env: EnvLike
    keys: Keys
    time_limit: int
    action_repeat: int
    kwargs: dict[str, Any]
    reset_options: dict[str, Any] | None
    first: int  # the index of environment 0 for factories that accept one
    index: int
    mask_from_info: bool = False  # whether `MaskFromInfo` copies the info's mask into the observation

    def with_mask_from_info(self) -> Maker:
        return replace(self, mask_from_info=True)

    def __call__(self, seed: int) -> Guarded:
        place = accepted(self.env, self.kwargs, index=self.first + self.index, seed=seed)
        with contained(self.index):
            made = make_env(self.env, **self.kwargs, **place)
        env = wrapped(
            made,
            time_limit=self.time_limit,
            action_repeat=self.action_repeat,
            mask_from_info=self.mask_from_info,
        )
        return Guarded(env, self.index, self.keys, self.reset_options)


def _trusted(env: EnvLike) -> bool:
    """Whether not to check an environment: there is only one of it, or it is Reverie's own adapter."""
    own = isinstance(env, str) and (suite_of(env) is not None or is_dream(env))
    return exists(env) or isinstance(env, JaxEnv) or own


def _hopeless(error: Exception, streak: int) -> bool:
    """Whether restarting cannot help; `streak` counts failures without a good step in between."""
    if isinstance(error, InterfaceError):
        return True
    bugs = TypeError, AttributeError, NameError, NotImplementedError, BrokenEnvironmentError
    return streak > 0 and isinstance(error, bugs)
