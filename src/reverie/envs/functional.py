"""Environments written in JAX: what one is, and how it is stepped from Python like any other.

May import: `reverie.errors`; Gymnasium, and JAX when one is made. `compiled` steps many of them inside one program.
"""

from __future__ import annotations

import abc
from functools import cached_property
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from reverie.errors import InputError


class Transition(NamedTuple):
    """What a step of a `JaxEnv` gives."""

    state: Any
    observation: Any  # in the structure of the observation space
    reward: Any  # (), float
    terminated: Any  # (), bool: the future is worth nothing
    truncated: Any  # (), bool: cut off by a time limit


class JaxEnv(abc.ABC):
    """An environment whose reset and step are pure functions that JAX can compile, for one environment.

    Derive from this and hand an instance, or "module:Class", to `train`: it is stepped inside the compiled program,
    many at once. The state is any pytree of arrays; an episode that ends is begun anew by who steps it, never by the
    environment. Keys are arrays of two uint32, which `jax.random` takes.
    """

    observation_space: gym.Space[Any]
    action_space: gym.Space[Any]

    @abc.abstractmethod
    def reset(self, key: Any) -> tuple[Any, Any]:
        """State and observation at the beginning of an episode."""

    @abc.abstractmethod
    def step(self, key: Any, state: Any, action: Any) -> Transition:
        """Do an action of the action space. Of a state whose episode has ended nothing is asked but not to fail."""

    @cached_property
    def compiled(self) -> tuple[Any, Any]:
        """`reset` and `step`, compiled once for all who step this from Python."""
        import jax

        return jax.jit(self.reset), jax.jit(self.step)

    def render(self, state: Any) -> np.ndarray | None:
        """What the state looks like, uint8 (height, width, 3); None where it can't be drawn."""
        return None


class Stepped(gym.Env[Any, Any]):
    """A `JaxEnv` as a Gymnasium environment: compiled, but one step at a time and with a copy to the host for each."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 15}  # noqa: RUF012, as Gymnasium has it

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

        reward, terminated, truncated = jax.device_get(rest)
        return self._to_host(observation), float(reward), bool(terminated), bool(truncated), {}

    def render(self) -> Any:
        if self.render_mode != "rgb_array":
            return None
        frame = self._env.render(self._state)
        if frame is None:
            raise InputError(f"{type(self._env).__name__} can't be drawn, so it can't be filmed.")
        return np.asarray(frame, np.uint8)

    def _key(self) -> np.ndarray:
        return self.np_random.integers(2**32, size=2, dtype=np.uint32)

    def _to_host(self, observation: Any) -> Any:
        """In the structure and the dtypes of the space: JAX has no float64, and 0 to 1 for truth."""
        import jax

        return _like(self.observation_space, jax.device_get(observation))


def _like(space: gym.Space[Any], value: Any) -> Any:
    match space:
        case gym.spaces.Dict():
            return {name: _like(child, value[name]) for name, child in space.spaces.items()}
        case gym.spaces.Tuple():
            return tuple(_like(child, one) for child, one in zip(space.spaces, value, strict=True))
    return np.asarray(value, space.dtype)
