"""The configuration of a run: every setting with its default, its bound and its meaning. May import: `errors`.

`Config.of(train_ratio=32, size="size12m")` makes one; `Config.from_file("run.yaml")` reads one.
"""

from reverie.config.bound import Bound
from reverie.config.config import Config, config_from_dict, config_to_dict, differences
from reverie.config.names import ELSEWHERE, SHORT
from reverie.config.settings import (
    BehaviourConfig,
    EnvConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    ReplayConfig,
    RunConfig,
)
from reverie.config.sizes import WIDTHS, Size

__all__ = [
    "ELSEWHERE",
    "SHORT",
    "WIDTHS",
    "BehaviourConfig",
    "Bound",
    "Config",
    "EnvConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "ReplayConfig",
    "RunConfig",
    "Size",
    "config_from_dict",
    "config_to_dict",
    "differences",
]
