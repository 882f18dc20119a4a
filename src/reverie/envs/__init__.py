"""Environments: making them by name, stepping several of them at once, and a small one of our own.

May import: `reverie.spaces` and `reverie.experience` of Reverie; Gymnasium. A suite with packages of its own
gets one file here, imported only when asked for.
"""

import gymnasium as gym

from reverie.envs.guard import BrokenEnvironmentError
from reverie.envs.make import MissingDependencyError, UnknownEnvironmentError, exists, make_env
from reverie.envs.opening import AnyEnvironments, open_environments
from reverie.envs.vector import Environments

__all__ = [
    "AnyEnvironments",
    "BrokenEnvironmentError",
    "Environments",
    "MissingDependencyError",
    "UnknownEnvironmentError",
    "exists",
    "make_env",
    "open_environments",
]

for _id, _observation in {"reverie/Catch-v0": "image", "reverie/CatchVector-v0": "vector"}.items():
    if _id not in gym.registry:  # a reload would make Gymnasium warn
        gym.register(_id, "reverie.envs.catch:Catch", kwargs={"observation": _observation})
