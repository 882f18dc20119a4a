"""Craftax and Craftax-Classic: Crafter, and an extension of it, in JAX. Extra `craftax`."""

from types import ModuleType
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
from craftax.craftax import constants as full_constants
from craftax.craftax import renderer as full_renderer
from craftax.craftax_classic import constants as classic_constants
from craftax.craftax_classic import renderer as classic_renderer
from craftax.craftax_env import make_craftax_env_from_name

from reverie.envs.functional import JaxEnv, Transition
from reverie.errors import InputError

TASKS = {
    "classic": "Craftax-Classic-Symbolic-v1",
    "classic_pixels": "Craftax-Classic-Pixels-v1",
    "symbolic": "Craftax-Symbolic-v1",
    "pixels": "Craftax-Pixels-v1",
}
DRAWN = 16  # pixels per side of a block in films


class Craftax(JaxEnv):
    """A world; reaching its maximum number of steps truncates the episode."""

    def __init__(self, name: str) -> None:
        # With auto_reset, it would generate a world in every step, in case the episode has ended.
        self._env = make_craftax_env_from_name(name, auto_reset=False)
        self._params = self._env.default_params
        self._endless = self._params.replace(max_timesteps=np.iinfo(np.int32).max)
        self._renderer: ModuleType = classic_renderer if "Classic" in name else full_renderer
        self._constants: ModuleType = classic_constants if "Classic" in name else full_constants
        shape = self._env.observation_space(self._params).shape
        self.observation_space = gym.spaces.Box(0, 1, shape, np.float32)
        self.action_space = gym.spaces.Discrete(self._env.num_actions)

    def reset(self, key: Any) -> tuple[Any, Any]:
        observation, state = self._env.reset_env(key, self._params)
        return state, observation

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        observation, state, reward, done, info = self._env.step_env(key, state, action, self._params)
        terminated = self._env.is_terminal(state, self._endless)
        return Transition(state, observation, reward, terminated, done & ~terminated, info)

    def render(self, state: Any) -> np.ndarray:
        draw = self._renderer.render_craftax_pixels
        return np.asarray(jnp.clip(draw(state, DRAWN), 0, 255)).astype(np.uint8)


def make(task: str) -> Craftax:
    """One of `TASKS`."""
    if task not in TASKS:
        raise InputError(f"There is no Craftax task {task!r}; available: {', '.join(TASKS)}.")
    return Craftax(TASKS[task])
