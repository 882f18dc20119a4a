"""The interface of environments written in JAX, and an adapter that steps one from Python.

May import: `reverie.errors`; Gymnasium, and JAX once one is created. `compiled` steps many inside one program.
"""

from __future__ import annotations

import abc
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from reverie.errors import InputError


class Transition(NamedTuple):
    """The result of a step of a `JaxEnv`."""

    state: Any
    observation: Any  # in the structure of the observation space
    reward: Any  # (), float
    terminated: Any  # (), bool: the future is worth nothing
    truncated: Any  # (), bool: cut off by a time limit
    info: Any = None  # numbers by name, nested or not: those of an episode's last step become metrics


class JaxEnv(abc.ABC):
    """An environment whose reset and step are pure, JAX-compilable functions of a single environment.

    Derive from this class and pass an instance, or "module:Class", to `train`: many copies are stepped inside the
    compiled program. The state is any pytree of arrays. An environment never resets itself: the caller does when an
    episode ends. Keys are arrays of two uint32, as `jax.random` accepts them.
    """

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]

    @abc.abstractmethod
    def reset(self, key: Any) -> tuple[Any, Any]:
        """Return the state and the observation at the start of an episode."""

    @abc.abstractmethod
    def step(self, key: Any, state: Any, action: Any) -> Transition:
        """Apply an action of the action space. After the end of an episode the result is ignored, but must not fail."""

    @cached_property
    def compiled(self) -> tuple[Any, Any]:
        """`reset` and `step`, compiled once for all copies stepped from Python."""
        import jax

        return jax.jit(self.reset), jax.jit(self.step)

    def render(self, state: Any) -> np.ndarray | None:
        """An image of the state, uint8 (height, width, 3); None if the environment has no renderer."""
        return None


class Stepped(gym.Env[Any, Any]):
    """A `JaxEnv` as a Gymnasium environment: compiled, but stepped one at a time with a copy to the host each step."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012, Gymnasium's convention

    def __init__(self, env: JaxEnv, render_mode: str | None = None) -> None:
        self.observation_space, self.action_space, self.render_mode = (
            env.observation_space,
            env.action_space,
            render_mode,
        )
        self._env, self._state = env, None
        self._reset, self._step = env.compiled

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._state, observation = self._reset(self._key())
        return self._to_host(observation), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._state, observation, *rest = self._step(self._key(), self._state, action)
        import jax

        reward, terminated, truncated, info = jax.device_get(rest)
        return self._to_host(observation), float(reward), bool(terminated), bool(truncated), info or {}

    def render(self) -> Any:
        if self.render_mode != "rgb_array":
            return None
        frame = self._env.render(self._state)
        if frame is None:
            raise InputError(f"{type(self._env).__name__} has no renderer and cannot be filmed: define its render().")
        return np.asarray(frame, np.uint8)

    def _key(self) -> np.ndarray:
        return self.np_random.integers(2**32, size=2, dtype=np.uint32)

    def _to_host(self, observation: Any) -> Any:
        """The observation in the structure and dtypes of the space; JAX itself has no float64."""
        import jax

        return _like(self.observation_space, jax.device_get(observation))


def _like(space: gym.Space[Any], value: Any) -> Any:
    match space:
        case gym.spaces.Dict():
            return {name: _like(child, value[name]) for name, child in space.spaces.items()}
        case gym.spaces.Tuple():
            return tuple(_like(child, one) for child, one in zip(space.spaces, value, strict=True))
    return np.asarray(value, space.dtype)
