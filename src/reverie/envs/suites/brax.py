"""Brax: robots simulated in JAX, in episodes of 1000 steps. Extra `brax`."""

from typing import Any

from brax import envs

from reverie.envs.functional import JaxEnv
from reverie.envs.suites.physics import Physics
from reverie.errors import InputError

EPISODE = 1000  # steps


def make(task: str) -> JaxEnv:
    """A robot by name, for example "ant" or "halfcheetah"."""
    try:
        env: Any = envs.get_environment(task)
    except KeyError as error:
        raise InputError(f"There is no Brax environment {task!r}; available: {', '.join(envs._envs)}.") from error
    return Physics(env, EPISODE)
