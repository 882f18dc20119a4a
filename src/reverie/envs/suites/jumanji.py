"""Jumanji: puzzles and combinatorial problems in JAX. Extra `jumanji`."""

import difflib
from typing import Any

import gymnasium as gym
import jumanji
import numpy as np
from jumanji.specs import jumanji_specs_to_gym_spaces

from reverie.envs.functional import JaxEnv, Transition
from reverie.errors import InputError


class Jumanji(JaxEnv):
    """A problem with its default generator. The action mask is part of the observation."""

    def __init__(self, name: str) -> None:
        self._env: Any = jumanji.make(name)
        self.observation_space = _float_bounds(jumanji_specs_to_gym_spaces(self._env.observation_spec))
        self.action_space = jumanji_specs_to_gym_spaces(self._env.action_spec)

    def reset(self, key: Any) -> tuple[Any, Any]:
        state, shown = self._env.reset(key)
        return state, _named(self.observation_space, shown.observation)

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        state, shown = self._env.step(state, action)
        terminated = shown.last() & (shown.discount == 0).all()
        reward = shown.reward.sum()  # over all agents, if there are several
        observation = _named(self.observation_space, shown.observation)
        return Transition(state, observation, reward, terminated, shown.last() & ~terminated, shown.extras)


def _named(space: gym.Space[Any], observation: Any) -> Any:
    """Jumanji's named tuples as dictionaries, in the structure of the space."""
    if not isinstance(space, gym.spaces.Dict):
        return observation
    return {name: _named(child, getattr(observation, name)) for name, child in space.spaces.items()}


def _float_bounds(space: gym.Space[Any]) -> gym.Space[Any]:
    """The space with booleans as numbers: Gymnasium cannot compare the bounds of a boolean Box."""
    if isinstance(space, gym.spaces.Dict):
        return gym.spaces.Dict({name: _float_bounds(child) for name, child in space.spaces.items()})
    if isinstance(space, gym.spaces.Box) and space.dtype == np.bool_:
        return gym.spaces.Box(0, 1, space.shape, np.float32)
    return space


def make(task: str) -> Jumanji:
    """A problem by its id, for example "Game2048-v1"."""
    known = jumanji.registered_environments()
    if task not in known:
        close = difflib.get_close_matches(task, known, n=2)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise InputError(f"There is no Jumanji problem {task!r}{hint}.")
    return Jumanji(task)
