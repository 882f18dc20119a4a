"""Gymnax: classic control, MinAtar, bsuite and more in JAX. Extra `gymnax`."""

import difflib
from typing import Any

import gymnasium as gym
import gymnax
import numpy as np
from gymnax.environments.spaces import gymnax_space_to_gym_space

from reverie.envs.functional import JaxEnv, Transition
from reverie.errors import InputError


class Gymnax(JaxEnv):
    """A gymnax environment with its default parameters."""

    def __init__(self, name: str) -> None:
        self._env, self._params = gymnax.make(name)
        self.observation_space = _space(self._env.observation_space(self._params))
        self.action_space = _space(self._env.action_space(self._params))

    def reset(self, key: Any) -> tuple[Any, Any]:
        observation, state = self._env.reset_env(key, self._params)
        return state, observation

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        observation, state, reward, terminated, info = self._env.step_env(key, state, action, self._params)
        truncated = self._env.is_truncated(state, self._params)
        return Transition(state, observation, reward, terminated, truncated, info)


def _space(space: Any) -> gym.Space[Any]:
    """The Gymnasium space, with booleans, as in MinAtar's planes, as numbers."""
    found = gymnax_space_to_gym_space(space)
    if isinstance(found, gym.spaces.Box) and found.dtype == np.bool_:
        return gym.spaces.Box(0, 1, found.shape, np.float32)
    return found


def make(task: str) -> Gymnax:
    """An environment by its id, for example "CartPole-v1" or "Breakout-MinAtar"."""
    if task not in gymnax.registered_envs:
        close = difflib.get_close_matches(task, gymnax.registered_envs, n=2)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise InputError(f"There is no gymnax environment {task!r}{hint}.")
    return Gymnax(task)
