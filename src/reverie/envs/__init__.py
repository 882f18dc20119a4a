"""Environments: creating them by name, stepping several at once, and a small built-in one.

May import: `reverie.spaces`, `reverie.experience`, `reverie.errors`, `reverie.text`; Gymnasium. Each suite with
packages of its own has one file, imported on demand.

    make         an environment from a name, a factory or an object
    suites       one file per suite of environments
    from_…       adapters from other interfaces
    guard        checks of everything that an environment returns
    masks        masks of the actions, from the info into the observation
    wrappers     action repeat and time limit
    probe        checks of an environment before a run starts
    rows         the latest observations, also in shared memory
    workers      the workers that step environments in this process
    processes    parallel workers: each environment in its own process
    final_info   the numbers of the info at the end of an episode
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
from reverie.envs.masks import MaskFromInfo
from reverie.envs.opening import keys_of, open_environments, settings_of
from reverie.envs.vector import Environments

__all__ = [
    "AnyEnvironments",
    "BaseEnvironments",
    "BrokenEnvironmentError",
    "Environments",
    "MaskFromInfo",
    "MissingDependencyError",
    "UnknownEnvironmentError",
    "exists",
    "keys_of",
    "make_env",
    "open_environments",
    "settings_of",
]

for _id, _observation in {"reverie/Catch-v0": "image", "reverie/CatchVector-v0": "vector"}.items():
    if _id not in gym.registry:  # Gymnasium warns if an id is registered twice, as a reload would
        gym.register(_id, "reverie.envs.catch:Catch", kwargs={"observation": _observation})
