"""MuJoCo Playground: DeepMind Control, walking and grasping robots in MuJoCo's JAX engine. Extra `playground`.

Robots from MuJoCo's menagerie are fetched from the network by Playground itself when they are first made.
"""

import difflib
from typing import Any

from mujoco_playground import registry

from reverie.envs.functional import JaxEnv
from reverie.envs.suites.physics import Physics
from reverie.errors import InputError


def make(task: str) -> JaxEnv:
    """A task by its name, for instance "CartpoleBalance"."""
    if task not in registry.ALL_ENVS:
        close = difflib.get_close_matches(task, registry.ALL_ENVS, n=2)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise InputError(f"Playground has no task {task!r}{hint}.")
    # Its other engine, Warp, wants a GPU of NVIDIA's.
    config: Any = registry.get_default_config(task)
    overrides = {"impl": "jax"} if "impl" in config else None
    env = registry.load(task, config, config_overrides=overrides)
    return Physics(env, config.episode_length)
