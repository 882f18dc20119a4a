"""Environments named "dream:RUN": the world model of a trained run, in which another agent can be trained.

May import: nothing of Reverie. What makes them is above this room and is found by its name when one is made, as
Gymnasium finds the entry points of registered environments.
"""

import importlib
from typing import Any

PREFIX = "dream:"
ENTRY_POINT = "reverie.dreams"


def is_dream(name: object) -> bool:
    """Whether this is the name of a dream."""
    return isinstance(name, str) and name.startswith(PREFIX)


def make(name: str, **kwargs: Any) -> Any:
    """Create a `DreamEnv` or, with `num_envs`, a `DreamVectorEnv`, in the run that the name contains.

    Args:
        name: "dream:" and the run's folder, relative to the working directory.
        **kwargs: moments, horizon, seed and render_mode; see `DreamVectorEnv`.
    """
    kind = "DreamVectorEnv" if "num_envs" in kwargs else "DreamEnv"
    return getattr(importlib.import_module(ENTRY_POINT), kind).load(name.removeprefix(PREFIX), **kwargs)
