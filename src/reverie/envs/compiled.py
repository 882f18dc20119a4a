"""Many copies of an environment written in JAX, stepped together inside a compiled program.

This is section 1 of algorithm.md, as in `vector`, in functions that can be traced: nothing here touches the host.

May import: `reverie.spaces`, `reverie.experience`, `reverie.errors`, `functional`; JAX.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from reverie.envs.functional import JaxEnv
from reverie.errors import InputError
from reverie.experience import Step
from reverie.spaces import EVERYTHING, Spaces, choose, restrict
from reverie.spaces.traced import decode_action, encode_observation


class CompiledEnvironments:
    """N copies of a `JaxEnv`; what `Environments` is to those that are stepped from Python.

    Args:
        env: the environment.
        num_envs: how many of them.
        keys: a regular expression: which observations of a Dict or Tuple are taken.

    Attributes:
        failures: how often an episode was cut off because a number in it was not finite.

    Raises:
        UnsupportedSpaceError: Reverie can't learn from its observations or act in its action space.
    """

    def __init__(self, env: JaxEnv, num_envs: int = 1, *, keys: str = EVERYTHING) -> None:
        if num_envs < 1:
            raise InputError(f"num_envs must be at least 1, got {num_envs}")
        self.num_envs, self.failures = num_envs, 0
        self.spaces = Spaces(choose(env.observation_space, keys), env.action_space)
        self.tell: Callable[[str], object] = lambda sentence: None
        self._env, self._choosing = env, keys != EVERYTHING
        self._at_once = max(1, num_envs // 128)  # so many episodes begin together: to begin one may cost many steps

    def reset(self, key: jax.Array) -> tuple[Any, Step]:
        """State, and the first observations of all."""
        state, observation = jax.vmap(self._env.reset)(_keys(key, self.num_envs))
        flags = jnp.zeros(self.num_envs, bool)
        step = Step(self._encode(observation), jnp.zeros(self.num_envs), ~flags, flags, flags)
        return state, step

    def step(self, key: jax.Array, state: Any, step: Step, action: Mapping[str, jax.Array]) -> tuple[Any, Step]:
        """The step after `step`: an action of the policy's, or, after a last one, the next episode's beginning.

        That also takes the place of what has a number that isn't finite; then `is_first` follows no `is_last`.
        """
        keys = jax.random.split(key)
        moved = jax.vmap(self._env.step)(_keys(keys[0], self.num_envs), state, decode_action(self.spaces, action))
        begins = step.is_last | ~_finite((moved.observation, moved.reward))
        state, observation = self._begin(keys[1], begins, (moved.state, moved.observation))
        terminated, truncated = moved.terminated.astype(bool), moved.truncated.astype(bool)
        return state, Step(
            observation=self._encode(observation),
            reward=jnp.where(begins, 0, moved.reward.astype(jnp.float32)),
            is_first=begins,
            is_last=(terminated | truncated) & ~begins,
            is_terminal=terminated & ~begins,
        )

    def _begin(self, key: jax.Array, begins: jax.Array, shown: Any) -> Any:
        """State and observation, anew for those that begin an episode: a few at a time, as long as there are any.

        To begin one for each of N in every step, and keep the few that are needed, is what makes such
        environments slow: a world of Craftax costs as much as forty steps in it.
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
        if self._choosing:
            observation = restrict(self.spaces.observation_space, observation)
        return encode_observation(self.spaces, observation)

    def state(self) -> list[Any]:
        """Empty: where they stand is in the arrays that `reset` and `step` return."""
        return []

    def restore(self, state: Sequence[Any], ended: Any) -> bool:
        """They can always go on from such arrays."""
        return True

    def cancel(self) -> None:
        """Nothing waits for such environments."""

    def close(self) -> None:
        """They hold nothing open."""


def _keys(key: jax.Array, count: int) -> jax.Array:
    """As plain numbers, which all libraries take and files can hold."""
    return jax.random.key_data(jax.random.split(key, count))


def _finite(tree: Any) -> jax.Array:
    """Of which environments all numbers are, (N,)."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(leaf.reshape(len(leaf), -1)).all(1) for leaf in floats]).all(0)
