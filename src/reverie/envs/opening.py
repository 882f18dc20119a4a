"""Several environments, however they are stepped. May import: the rest of this room."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gymnasium.vector import VectorEnv

from reverie.envs.batched import VectorEnvironments
from reverie.envs.make import EnvLike, find_jax_env, make_vector_env
from reverie.envs.vector import Environments
from reverie.errors import InputError
from reverie.spaces import EVERYTHING

AnyEnvironments = Environments | VectorEnvironments


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
    """N environments that are stepped as one; see `Environments`.

    Args:
        mode: "vector": one VectorEnv has them all, and is made by name, by a function that takes `num_envs`, or exists
            already, and only seeds and keys are ours to choose; "auto" and "compiled": "serial", for from here
            those written in JAX are stepped from Python too; else as `Environments` has it.

    Raises:
        InputError: as `Environments`, `VectorEnvironments` and `make_vector_env` do.
    """
    if mode == "vector" or isinstance(env, VectorEnv):
        if time_limit or action_repeat > 1:
            raise InputError(
                "time_limit and action_repeat go around single environments: give the vector environment its own"
            )
        made = make_vector_env(env, num_envs, **(env_kwargs or {}))
        return VectorEnvironments(made, seed=seed, held_out=held_out, keys=keys)
    # One that is written in JAX all copies here share, and what is compiled of it.
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
