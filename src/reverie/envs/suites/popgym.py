"""POPGym: small tasks that require memory. Extra `popgym`."""

from typing import Any

import gymnasium as gym
import popgym  # noqa: F401  registers the tasks

from reverie.envs.suites import unknown

PREFIX = "popgym-"


def make(task: str, *, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """A task by its id without "popgym-", for example "RepeatPreviousEasy-v0"; rendering is not supported."""
    if PREFIX + task not in gym.registry:
        known = [found.removeprefix(PREFIX) for found in gym.registry if found.startswith(PREFIX)]
        raise unknown("POPGym task", task, known)
    return gym.make(PREFIX + task, disable_env_checker=True)
