"""Reverie: DreamerV3 for any Gymnasium environment.

Names are imported on first use, which keeps `import reverie` and worker processes light.
"""

import importlib
from typing import TYPE_CHECKING, Any

from reverie.devices import share_memory as _share_memory

if TYPE_CHECKING:
    from reverie.agent import Agent
    from reverie.config import Config
    from reverie.envs import make_env
    from reverie.training import Callback, Evaluation, NotSavedError, Trainer, evaluate, train
    from reverie.world_model import register_decoder, register_encoder

_share_memory()  # before JAX looks for devices

_HOMES = {
    "train": "reverie.training",
    "evaluate": "reverie.training",
    "Evaluation": "reverie.training",
    "Callback": "reverie.training",
    "Trainer": "reverie.training",
    "NotSavedError": "reverie.training",
    "Agent": "reverie.agent",
    "Config": "reverie.config",
    "make_env": "reverie.envs",
    "register_encoder": "reverie.world_model",
    "register_decoder": "reverie.world_model",
}

__all__ = [
    "train",
    "evaluate",
    "Evaluation",
    "Callback",
    "Trainer",
    "NotSavedError",
    "Agent",
    "Config",
    "make_env",
    "register_encoder",
    "register_decoder",
]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'reverie' has no attribute {name!r}; it has {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
