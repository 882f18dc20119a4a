"""MiniGrid without the mission's text, which is the same in most of its worlds. Extra `minigrid`."""

import difflib
from typing import Any

import gymnasium as gym
import minigrid  # noqa: F401  registers the worlds

from reverie.errors import InputError


def make(task: str, **kwargs: Any) -> gym.Env[Any, Any]:
    """A world by its id without "MiniGrid-", for instance "DoorKey-5x5-v0"."""
    name = f"MiniGrid-{task}"
    if name not in gym.registry:
        known = [found.removeprefix("MiniGrid-") for found in gym.registry if found.startswith("MiniGrid-")]
        close = difflib.get_close_matches(task, known, n=2)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise InputError(f"There is no MiniGrid world {task!r}{hint}.")
    env = gym.make(name, disable_env_checker=True, **kwargs)
    return gym.wrappers.FilterObservation(env, ["direction", "image"])
