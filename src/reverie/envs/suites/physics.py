"""The common adapter for Brax and MuJoCo Playground, whose states hold observation, reward and done.

May import: `functional`; JAX.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np

from reverie.envs.functional import JaxEnv, Transition


class Physics(JaxEnv):
    """A robot; episodes are truncated after `episode` steps. Actions range from -1 to 1."""

    def __init__(self, env: Any, episode: int) -> None:
        self._env, self._episode = env, episode
        shown = jax.eval_shape(env.reset, jax.ShapeDtypeStruct((2,), jnp.uint32)).obs
        self.observation_space = _space(shown)
        self.action_space = gym.spaces.Box(-1, 1, (env.action_size,), np.float32)

    def reset(self, key: Any) -> tuple[Any, Any]:
        state = self._env.reset(key)
        return (state, jnp.zeros((), jnp.int32)), state.obs

    def step(self, key: Any, state: Any, action: Any) -> Transition:
        inner, steps = state
        inner = self._env.step(inner, action)
        # A diverged simulation may not report that it is done; its episode terminates here.
        exploded = ~jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves((inner.obs, inner.reward))]).all()
        observation, reward = jax.tree.map(
            lambda x: jnp.nan_to_num(x, nan=0, posinf=0, neginf=0), (inner.obs, inner.reward)
        )
        terminated = inner.done.astype(bool) | exploded
        state = (inner, steps + 1)
        return Transition(state, observation, reward, terminated, steps + 1 >= self._episode, inner.metrics)


def _space(shown: Any) -> gym.Space[Any]:
    if isinstance(shown, Mapping):
        return gym.spaces.Dict({name: _space(one) for name, one in shown.items()})
    return gym.spaces.Box(-np.inf, np.inf, shown.shape, np.float32)
