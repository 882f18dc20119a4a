"""Environments: creating them by name, stepping several at once, and a small built-in one.

May import: `reverie.spaces`, `reverie.experience`, `reverie.errors`; Gymnasium. Each suite with packages of its own has
one file, imported on demand.

    make         an environment from a name, a factory or an object
    suites       one file per suite of environments
    from_…       adapters from other interfaces
    wrappers     action repeat and time limit
    guard        checks of everything that an environment returns
    workers      where environments run: in this process or in processes of their own
    vector       N environments stepped as one, with restarts
    batched      the same for Gymnasium's VectorEnv
    compiled     the same for environments written in JAX, inside a compiled program
    interface    what all of these have in common
    opening      the function that chooses among them
"""

import gymnasium as gym

from reverie.envs.guard import BrokenEnvironmentError
from reverie.envs.interface import AnyEnvironments, BaseEnvironments
from reverie.envs.make import MissingDependencyError, UnknownEnvironmentError, exists, make_env
from reverie.envs.opening import open_environments
from reverie.envs.vector import Environments

__all__ = [
    "AnyEnvironments",
    "BaseEnvironments",
    "BrokenEnvironmentError",
    "Environments",
    "MissingDependencyError",
    "UnknownEnvironmentError",
    "exists",
    "make_env",
    "open_environments",
]

for _id, _observation in {"reverie/Catch-v0": "image", "reverie/CatchVector-v0": "vector"}.items():
    if _id not in gym.registry:  # Gymnasium warns if an id is registered twice, as a reload would
        gym.register(_id, "reverie.envs.catch:Catch", kwargs={"observation": _observation})
