"""Several environments stepped as one, speaking the model's language: `Step` out, policy actions in.

This is section 1 of algorithm.md made out of Gymnasium's vector environments: flags, and no step lost or
doubled where one episode ends and the next begins.

May import: `reverie.spaces`, `reverie.experience`, `reverie.envs.make`; Gymnasium.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from reverie.envs.make import EnvLike, make_env
from reverie.errors import InputError
from reverie.experience import Step
from reverie.spaces import Spaces


class BrokenEnvironmentError(InputError):
    """An environment returned something that can't be learned from; the message says which one and what."""


class Environments:
    """N copies of an environment, stepped together; each starts its next episode by itself.

    An episode's final observation is a record of its own (is_last), and so is the first observation of the
    next one (is_first, reward 0), which the step after it returns. That step ignores the action it is given.

    Args:
        env: a name, a function that makes an environment, or, for a single one, an environment (see
            `make_env`).
        num_envs: how many of them.
        seed: where the randomness of all of them comes from. Environment i gets the same seed however many
            there are.
        processes: step each in a process of its own. Such a process starts afresh, so a script that asks for
            this must keep what it runs under `if __name__ == "__main__":`.
        env_kwargs: what to make each environment with, for instance {"render_mode": "rgb_array"}.

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
        processes: bool = False,
        env_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        if isinstance(env, gym.Env) and (num_envs > 1 or processes):
            raise InputError(
                "an environment that exists already can only be stepped alone and in this process: "
                "give its name or a function that makes it"
            )
        make = _make_in_process if processes else _make_guarded
        makers = [partial(make, i, env, dict(env_kwargs or {})) for i in range(num_envs)]
        # copy=False: encode_observation copies.
        if processes:
            # Not forked: the threads of JAX don't survive that.
            self._vector: Any = _start(makers)
        else:
            self._vector = SyncVectorEnv(makers, copy=False, autoreset_mode=AutoresetMode.NEXT_STEP)
        self.num_envs = num_envs
        self.spaces = Spaces(self._vector.single_observation_space, self._vector.single_action_space)
        self._seeds: list[int] | None = _seeds(seed, num_envs)
        self._ended: np.ndarray | None = None  # (N,) bool, is_last of the previous record

    def reset(self, *, seed: Sequence[int] | None = None) -> Step:
        """Start an episode in every environment. The first call seeds them, later ones go on from there.

        Args:
            seed: seeds them anew, from these numbers together.

        Returns:
            The first observations: is_first, reward 0.

        Raises:
            BrokenEnvironmentError: an observation that doesn't fit its space or isn't finite.
        """
        seeds = self._seeds if seed is None else _seeds(seed, self.num_envs)
        observation, _ = self._vector.reset(seed=seeds)
        self._seeds = None
        zeros = np.zeros(self.num_envs, bool)
        return self._record(observation, np.zeros(self.num_envs), zeros, zeros, is_first=~zeros)

    def step(self, action: Mapping[str, np.ndarray]) -> Step:
        """Do one action in every environment.

        Args:
            action: key → (N, *shape), of the policy: numbers in [-1, 1], classes from 0. Ignored where the
                previous record is the last of its episode.

        Returns:
            What they show then, with the reward received on the way.

        Raises:
            BrokenEnvironmentError: an observation that doesn't fit its space, or a number that isn't finite.
            ValueError: an action that the spaces can't decode.
        """
        if self._ended is None:
            raise RuntimeError("call reset() before the first step()")
        observation, reward, terminated, truncated, _ = self._vector.step(self.spaces.decode_action(action))
        return self._record(observation, reward, terminated, truncated, is_first=self._ended)

    def render_frame(self, index: int = 0) -> np.ndarray:
        """What environment `index` looks like now: uint8, (height, width, 3).

        Raises:
            ValueError: the environments were not made with render_mode="rgb_array".
        """
        if self._vector.render_mode != "rgb_array":
            raise InputError(
                f"the render mode is {self._vector.render_mode!r}: make the environments with "
                'env_kwargs={"render_mode": "rgb_array"}'
            )
        if isinstance(self._vector, SyncVectorEnv):
            return np.array(self._vector.envs[index].render())
        return np.array(self._vector.render()[index])

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
        self._vector._autoreset_envs = ended.copy()
        return True

    def _restorable(self) -> list[Any]:
        """The environments themselves, if all have what `state` needs; else none."""
        guarded: Sequence[Any] = self._vector.envs if isinstance(self._vector, SyncVectorEnv) else ()
        envs = [one.env for one in guarded]
        return envs if all(hasattr(env, "get_state") and hasattr(env, "set_state") for env in envs) else []

    def close(self) -> None:
        """Close every environment, and end the processes."""
        self._vector.close()

    def __enter__(self) -> Environments:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _record(
        self,
        observation: Any,
        reward: np.ndarray,
        terminated: np.ndarray,
        truncated: np.ndarray,
        *,
        is_first: np.ndarray,
    ) -> Step:
        try:
            encoded = self.spaces.encode_observation(observation)
        except ValueError as error:
            raise BrokenEnvironmentError(str(error)) from error
        self._ended = terminated | truncated
        return Step(
            observation=encoded,
            reward=reward.astype(np.float32),
            is_first=is_first.copy(),
            is_last=self._ended.copy(),
            is_terminal=terminated.copy(),
        )


class _Guarded(gym.Wrapper[Any, Any, Any, Any]):
    """Checks what an environment returns before batching can hide it: NumPy casts and broadcasts silently."""

    def __init__(self, env: gym.Env[Any, Any], index: int) -> None:
        super().__init__(env)
        self._index = index
        self._spaces = Spaces.from_env(env)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._check(observation)
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._check(observation)
        return observation, self._number(reward), bool(terminated), bool(truncated), info

    def _check(self, observation: Any) -> None:
        try:
            self._spaces.check_observation(observation)
        except ValueError as error:
            raise BrokenEnvironmentError(f"environment {self._index}: {error}") from error

    def _number(self, reward: Any) -> float:
        try:
            number = float(reward) if getattr(reward, "ndim", 0) == 0 else np.nan
        except (TypeError, ValueError):
            number = np.nan
        if not abs(number) <= _LARGEST:  # also true of NaN
            raise BrokenEnvironmentError(
                f"environment {self._index} returned the reward {reward!r}, which must be one finite number"
            )
        return number


_LARGEST = float(np.finfo(np.float32).max)


def _make_in_process(index: int, env: EnvLike, kwargs: dict[str, Any]) -> _Guarded:
    # Ctrl-C goes to every process of the terminal; the one that trains decides what happens. (Gymnasium makes one
    # environment in that process too, to learn its spaces.)
    if multiprocessing.parent_process() is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    return _make_guarded(index, env, kwargs)


def _make_guarded(index: int, env: EnvLike, kwargs: dict[str, Any]) -> _Guarded:
    return _Guarded(make_env(env, **kwargs), index)


def _start(makers: list[partial[_Guarded]]) -> AsyncVectorEnv:
    try:
        return AsyncVectorEnv(makers, copy=False, context="spawn", autoreset_mode=AutoresetMode.NEXT_STEP)
    except (EOFError, ConnectionError) as error:
        raise RuntimeError(
            "an environment's process ended while it was starting: see its message above, and in a script, "
            'keep what runs under `if __name__ == "__main__":`'
        ) from error


def _seeds(seed: int | Sequence[int], num_envs: int) -> list[int]:
    """Distinct seeds below 2³¹, as old environments want them, that neighbouring run seeds don't share."""
    base = int(np.random.SeedSequence(seed).generate_state(1)[0]) % 2**30
    return [base + i for i in range(num_envs)]
