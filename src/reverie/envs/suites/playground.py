"""MuJoCo Playground: DeepMind Control, locomotion and manipulation in MuJoCo's JAX engine. Extra `playground`.

Playground downloads robots of the MuJoCo Menagerie when they are first created.
"""

import difflib
from typing import Any

from mujoco_playground import registry

from reverie.envs.functional import JaxEnv
from reverie.envs.suites.physics import Physics
from reverie.errors import InputError


def make(task: str) -> JaxEnv:
    """A task by name, for example "CartpoleBalance"."""
    if task not in registry.ALL_ENVS:
        close = difflib.get_close_matches(task, registry.ALL_ENVS, n=2)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise InputError(f"There is no Playground task {task!r}{hint}.")
    # Its other engine, Warp, requires an NVIDIA GPU.
    config: Any = registry.get_default_config(task)
    overrides = {"impl": "jax"} if "impl" in config else None
    env = registry.load(task, config, config_overrides=overrides)
    return Physics(env, config.episode_length)
