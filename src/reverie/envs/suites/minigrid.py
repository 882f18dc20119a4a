"""MiniGrid without the mission text, which is constant in most of its worlds. Extra `minigrid`."""

from typing import Any

import gymnasium as gym
import minigrid  # noqa: F401  registers the worlds

from reverie.envs.suites import unknown


def make(task: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """A world by its id without "MiniGrid-", for example "DoorKey-5x5-v0"."""
    name = f"MiniGrid-{task}"
    if name not in gym.registry:
        known = [found.removeprefix("MiniGrid-") for found in gym.registry if found.startswith("MiniGrid-")]
        raise unknown("MiniGrid world", task, known)
    env = gym.make(name, disable_env_checker=True, **kwargs)
    return gym.wrappers.FilterObservation(env, ["direction", "image"])
