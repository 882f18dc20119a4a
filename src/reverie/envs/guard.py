"""Checks of everything that an environment returns, before batching: NumPy casts and broadcasts silently.

May import: `reverie.spaces`, `reverie.errors`; Gymnasium.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import numpy as np

from reverie.errors import InputError
from reverie.spaces import MASK, Keys
from reverie.spaces.values import LARGEST

NOTHING_ALLOWED = f"observation {MASK!r} allows no action, which only the last observation of an episode may do"


class BrokenEnvironmentError(InputError):
    """An environment returned something that cannot be learned from; the message names the environment and value."""


class InterfaceError(BrokenEnvironmentError):
    """An environment's reset or step has another interface than Gymnasium's; restarting it cannot help."""


class Guarded(gym.Wrapper[Any, Any, Any, Any]):
    """An environment whose observations must fit its space and whose rewards must be finite numbers.

    A mask must allow some action, except in an episode's last observation.

    Only observations selected by the keys are returned, as arrays; the others are neither checked nor batched.
    """

    def __init__(
        self, env: gym.Env[Any, Any], index: int, keys: Keys | None = None, options: dict[str, Any] | None = None
    ) -> None:
        super().__init__(env)
        self._index, self._options = index, options
        self.spaces = (keys or Keys()).spaces(env.observation_space, env.action_space)
        self.observation_space = self.spaces.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        with contained(self._index):
            result = self.env.reset(seed=seed, options=options or self._options)
        observation, info = checked_reset(self.env, result)
        return self._checked(observation, last=False), info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        with contained(self._index):
            result = self.env.step(action)
        observation, reward, terminated, truncated, info = checked_step(self.env, result)
        flags = self._flag("terminated", terminated), self._flag("truncated", truncated)
        return self._checked(observation, last=any(flags)), self._number(reward), *flags, info

    def render(self) -> Any:
        with contained(self._index):
            return self.env.render()

    def _checked(self, observation: Any, *, last: bool) -> Any:
        try:
            checked = self.spaces.check_observation(observation)
        except ValueError as error:
            raise BrokenEnvironmentError(f"environment {self._index}: {error}") from error
        mask = self.spaces.mask
        if mask is not None and not last and not np.any(checked[mask]):
            raise BrokenEnvironmentError(f"environment {self._index}: {NOTHING_ALLOWED}")
        return checked

    def _number(self, reward: Any) -> float:
        try:
            single = getattr(reward, "ndim", 0) == 0 and not isinstance(reward, str | bytes)
            number = float(reward) if single else np.nan
        except (TypeError, ValueError):
            number = np.nan
        if not abs(number) <= LARGEST:  # also catches NaN
            raise BrokenEnvironmentError(
                f"environment {self._index} returned the reward {reward!r}, which must be one finite number"
            )
        return number

    def _flag(self, name: str, value: Any) -> bool:
        if isinstance(value, bool | np.bool_):
            return bool(value)
        try:
            number = np.nan if value is None or isinstance(value, str | bytes) else float(value)
        except (TypeError, ValueError):
            number = np.nan
        if number not in (0, 1):
            raise BrokenEnvironmentError(f"environment {self._index} returned {name}={value!r}, which must be a bool")
        return bool(number)


@contextmanager
def contained(index: int) -> Iterator[None]:
    """Turn SystemExit and KeyboardInterrupt raised by an environment into failures of that environment."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, KeyboardInterrupt) and _may_be_the_users():
            raise
        raise BrokenEnvironmentError(f"environment {index} raised {type(error).__name__}({error})") from error


def _may_be_the_users() -> bool:
    """Whether Ctrl-C would raise KeyboardInterrupt here: in the main thread, unless another handler is installed."""
    main = threading.current_thread() is threading.main_thread()
    return main and signal.getsignal(signal.SIGINT) is signal.default_int_handler


def checked_reset(env: Any, result: Any) -> tuple[Any, dict[str, Any]]:
    """The (observation, info) that a reset returned; an `InterfaceError` if it returned anything else."""
    if isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Mapping):
        return result
    got = f"{len(result)} values" if isinstance(result, tuple) else f"a {type(result).__name__}"
    raise InterfaceError(
        f"The reset() of {_name(env)} returned {got}, but must return (observation, info): end it with "
        f"'return observation, {{}}'. {OLDER}"
    )


def checked_step(env: Any, result: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
    """The five values that a step returned; an `InterfaceError` if it returned anything else."""
    if isinstance(result, tuple) and len(result) == 5 and isinstance(result[4], Mapping):
        return result
    got = f"{len(result)} values" if isinstance(result, tuple) else f"a {type(result).__name__}"
    raise InterfaceError(
        f"The step() of {_name(env)} returned {got}, but must return (observation, reward, terminated, truncated, "
        f"info): split 'done' into terminated and truncated. {OLDER}"
    )


OLDER = (
    "Environments that derive from the older Gym package's gym.Env are adapted automatically, also by name as "
    "'openai_gym/NAME'."
)


def _name(env: Any) -> str:
    return repr(type(getattr(env, "unwrapped", env)).__name__)
