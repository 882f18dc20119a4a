"""The function that opens vectorized environments in any mode. May import: the rest of `envs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gymnasium.vector import VectorEnv

from reverie.envs.batched import VectorEnvironments
from reverie.envs.interface import AnyEnvironments
from reverie.envs.make import EnvLike, find_jax_env, make_vector_env
from reverie.envs.vector import Environments
from reverie.errors import InputError
from reverie.spaces import EVERYTHING


def open_environments(
    env: EnvLike | VectorEnv[Any, Any, Any],
    num_envs: int = 1,
    *,
    seed: int = 0,
    held_out: bool = False,
    mode: Literal["auto", "serial", "parallel", "async", "vector", "compiled"] = "serial",
    restarts: int = 0,
    timeout: float | None = None,
    keys: str = EVERYTHING,
    time_limit: int = 0,
    action_repeat: int = 1,
    env_kwargs: Mapping[str, Any] | None = None,
) -> AnyEnvironments:
    """Open N environments that are stepped as one; see `Environments` for the arguments.

    Args:
        mode: as for `Environments`, and "vector": a single VectorEnv holds all of them. It is created by name or by a
            function that takes `num_envs`, or is passed in; only seeds and keys apply to it. "auto" and "compiled" mean
            "serial" here: environments written in JAX are stepped from Python, too.

    Raises:
        InputError: see `Environments`, `VectorEnvironments` and `make_vector_env`.
    """
    if mode == "vector" or isinstance(env, VectorEnv):
        if time_limit or action_repeat > 1:
            raise InputError(
                "time_limit and action_repeat apply to single environments only: configure them in the vector "
                "environment itself."
            )
        made = make_vector_env(env, num_envs, **(env_kwargs or {}))
        return VectorEnvironments(made, seed=seed, held_out=held_out, keys=keys)
    # Copies in one process share a JAX environment, so that it is compiled only once.
    shared = None if mode in ("parallel", "async") else find_jax_env(env)
    return Environments(
        shared or env,
        num_envs,
        seed=seed,
        held_out=held_out,
        mode="serial" if mode == "auto" or mode == "compiled" else mode,
        restarts=restarts,
        timeout=timeout,
        keys=keys,
        time_limit=time_limit,
        action_repeat=action_repeat,
        env_kwargs=env_kwargs,
    )
