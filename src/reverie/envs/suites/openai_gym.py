"""Environments registered with Gym, Gymnasium's predecessor. Extra `openai-gym`."""

from typing import Any

import gym

from reverie.envs.from_old_gym import FromOldGym
from reverie.envs.suites import unknown


def make(task: str, **kwargs: Any) -> FromOldGym:
    """An environment by its id, for example "CartPole-v1", or as "package:Name-v0"."""
    try:
        # Gym's checker fails with current versions of NumPy.
        return FromOldGym(gym.make(task, disable_env_checker=True, **kwargs))
    except gym.error.UnregisteredEnv as error:
        raise unknown("Gym environment", task, gym.envs.registry) from error
