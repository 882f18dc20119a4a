"""Vectorized JAX environments, stepped inside a compiled program.

Implements section 1 of algorithm.md like `vector`, but in traceable functions that run entirely on the device.

May import: `reverie.spaces`, `reverie.experience`, `reverie.errors`, `final_info`, `functional`, `interface`; JAX.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reverie.envs.final_info import traced
from reverie.envs.functional import JaxEnv, Transition
from reverie.envs.interface import warn
from reverie.errors import InputError
from reverie.experience import Step
from reverie.spaces import EVERYTHING, Keys
from reverie.spaces.traced import decode_action, encode_observation


class CompiledEnvironments:
    """N copies of a `JaxEnv`: the counterpart of `Environments` for compiled programs.

    Args:
        env: the environment.
        num_envs: N, the number of copies.
        keys: which observations are used, and how; a string selects them.

    Attributes:
        failures: the number of episodes cut off because of a number that was not finite or a mask that allowed nothing.

    Raises:
        UnsupportedSpaceError: Reverie does not support the observation space or the action space.
    """

    def __init__(self, env: JaxEnv, num_envs: int = 1, *, keys: Keys | str = EVERYTHING) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        self.num_envs, self.failures = num_envs, 0
        keys = keys if isinstance(keys, Keys) else Keys(keys)
        self.spaces = keys.spaces(env.observation_space, env.action_space)
        self.tell: Callable[[str], object] = warn
        self._env = env
        self._at_once = max(1, num_envs // 128)  # episodes to start together: a reset may cost as much as many steps

    def reset(self, key: jax.Array) -> tuple[Any, Step]:
        """Return the initial states and the first observations of all environments."""
        state, observation = jax.vmap(self._env.reset)(_keys(key, self.num_envs))
        flags = jnp.zeros(self.num_envs, bool)
        step = Step(self._encode(observation), jnp.zeros(self.num_envs), ~flags, flags, flags)
        return state, step

    def step(
        self, key: jax.Array, state: Any, step: Step, action: Mapping[str, jax.Array]
    ) -> tuple[Any, Step, dict[str, jax.Array]]:
        """Apply one action in every environment; those whose episode ended start the next one instead.

        An environment that shows a number that is not finite, or a mask that allows no action before the last step,
        also starts a new episode: then `is_first` is set without an `is_last` before it.

        Returns:
            The states, what the environments show, and the numbers of their infos, name → (N,).
        """
        keys = jax.random.split(key)
        moved = jax.vmap(self._move)(_keys(keys[0], self.num_envs), state, decode_action(self.spaces, action))
        terminated, truncated = moved.terminated.astype(bool), moved.truncated.astype(bool)
        begins = step.is_last | ~_finite((moved.observation, moved.reward))
        if self.spaces.mask is not None:
            begins |= ~(moved.observation[self.spaces.mask].any(-1) | terminated | truncated)
        state, observation = self._begin(keys[1], begins, (moved.state, moved.observation))
        following = Step(
            observation=self._encode(observation),
            reward=jnp.where(begins, 0, moved.reward.astype(jnp.float32)),
            is_first=begins,
            is_last=(terminated | truncated) & ~begins,
            is_terminal=terminated & ~begins,
        )
        return state, following, moved.info

    def _move(self, key: jax.Array, state: Any, action: Any) -> Transition:
        moved = self._env.step(key, state, action)
        return moved._replace(info=traced(moved.info))

    def _begin(self, key: jax.Array, begins: jax.Array, shown: Any) -> Any:
        """States and observations, with new episodes where `begins`, started a few at a time.

        Starting N episodes in every step just to keep a few makes JAX environments slow: generating a Craftax world
        costs as much as forty steps.
        """

        def some(carry: tuple[jax.Array, jax.Array, Any]) -> tuple[jax.Array, jax.Array, Any]:
            left, key, shown = carry
            key, now = jax.random.split(key)
            index = jnp.flatnonzero(left, size=self._at_once, fill_value=self.num_envs)
            fresh = jax.vmap(self._env.reset)(_keys(now, self._at_once))
            shown = jax.tree.map(lambda old, new: old.at[index].set(new, mode="drop"), shown, fresh)
            return left.at[index].set(False, mode="drop"), key, shown

        return jax.lax.while_loop(lambda carry: carry[0].any(), some, (begins, key, shown))[2]

    def _encode(self, observation: Any) -> dict[str, jax.Array]:
        return encode_observation(self.spaces, observation)

    def state(self) -> list[Any]:
        """An empty list: the whole state is in the arrays that `reset` and `step` return."""
        return []

    def restore(self, state: Sequence[Any], ended: np.ndarray) -> bool:
        """Always True: the arrays are all that resuming needs."""
        return True

    def cancel(self) -> None:
        """Does nothing: compiled environments never block."""

    def close(self) -> None:
        """Does nothing: compiled environments hold no resources."""


def _keys(key: jax.Array, count: int) -> jax.Array:
    """Random keys as plain numbers, which every library accepts and files can store."""
    return jax.random.key_data(jax.random.split(key, count))


def _finite(tree: Any) -> jax.Array:
    """Whether all numbers of each environment are finite, (N,) bool."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(leaf.reshape(len(leaf), -1)).all(1) for leaf in floats]).all(0)
