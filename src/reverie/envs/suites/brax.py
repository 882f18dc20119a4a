"""Brax: robots in JAX's physics, in episodes of 1000 steps. Extra `brax`."""

from typing import Any

from brax import envs

from reverie.envs.functional import JaxEnv
from reverie.envs.suites.physics import Physics
from reverie.errors import InputError

EPISODE = 1000  # steps


def make(task: str) -> JaxEnv:
    """A robot by its name, for instance "ant" or "halfcheetah"."""
    try:
        env: Any = envs.get_environment(task)
    except KeyError as error:
        raise InputError(f"Brax has no environment {task!r}; there are {', '.join(envs._envs)}.") from error
    return Physics(env, EPISODE)
