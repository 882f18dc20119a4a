"""The function that opens vectorized environments in any mode. May import: the rest of `envs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import yaml
from gymnasium.vector import VectorEnv

from reverie.envs.batched import VectorEnvironments
from reverie.envs.interface import AnyEnvironments
from reverie.envs.make import EnvLike, find_jax_env, make_vector_env
from reverie.envs.vector import Environments
from reverie.errors import InputError
from reverie.spaces import EVERYTHING, Keys


@runtime_checkable
class EnvironmentSettings(Protocol):
    """The settings of a run that apply to each environment; `reverie.config.EnvConfig` has them."""

    @property
    def keys(self) -> str: ...
    @property
    def image_keys(self) -> str: ...
    @property
    def vector_keys(self) -> str: ...
    @property
    def time_limit(self) -> int: ...
    @property
    def action_repeat(self) -> int: ...
    @property
    def kwargs(self) -> Sequence[str]: ...
    @property
    def reset_options(self) -> Sequence[str]: ...


def settings_of(env: EnvironmentSettings) -> dict[str, Any]:
    """The arguments of `open_environments` that a run sets for each environment.

    Raises:
        InputError: an entry of `kwargs` or `reset_options` is not name=value.
    """
    return {
        "keys": keys_of(env),
        "time_limit": env.time_limit,
        "action_repeat": env.action_repeat,
        "env_kwargs": parse("env.kwargs", env.kwargs),
        "reset_options": parse("env.reset_options", env.reset_options),
    }


def keys_of(env: EnvironmentSettings) -> Keys:
    """Which observations a run uses, and how."""
    return Keys(env.keys, env.image_keys, env.vector_keys)


def parse(setting: str, pairs: Sequence[str]) -> dict[str, Any]:
    """Names and values from texts such as "is_slippery=False"; values are YAML."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise InputError(f"{setting} takes name=value, for example is_slippery=False, got {pair!r}.")
        try:
            found[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"{setting}: {pair!r} has a value that is not valid YAML ({error}).") from error
    return found


def open_environments(
    env: EnvLike | VectorEnv[Any, Any, Any],
    num_envs: int = 1,
    *,
    seed: int = 0,
    held_out: bool = False,
    mode: Literal["auto", "serial", "parallel", "async", "vector", "compiled"] = "serial",
    restarts: int = 0,
    timeout: float | None = None,
    keys: Keys | str = EVERYTHING,
    time_limit: int = 0,
    action_repeat: int = 1,
    env_kwargs: Mapping[str, Any] | None = None,
    reset_options: Mapping[str, Any] | None = None,
    check: bool = True,
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
        reset_options=reset_options,
        check=check,
    )
