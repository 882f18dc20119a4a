"""Model sizes and the demo, as data over `config`. May import: `config`."""

from types import MappingProxyType

from reverie.config import (
    BehaviourConfig,
    Config,
    EnvConfig,
    ModelConfig,
    OptimizerConfig,
    ReplayConfig,
    RunConfig,
)


def _size(deter: int, hidden: int, classes: int, depth: int, units: int) -> ModelConfig:
    return ModelConfig(deter=deter, hidden=hidden, classes=classes, depth=depth, units=units)


SIZES = MappingProxyType(
    {
        "size1m": _size(512, 64, 4, 4, 64),
        "size12m": _size(2048, 256, 16, 16, 256),
        "size25m": _size(3072, 384, 24, 24, 384),
        "size50m": _size(4096, 512, 32, 32, 512),
        "size100m": _size(6144, 768, 48, 48, 768),
        "size200m": _size(8192, 1024, 64, 64, 1024),
        "size400m": _size(12288, 1536, 96, 96, 1536),
    }
)
"""The published sizes (section 2), by the rough number of parameters."""


DEMO = Config(
    model=ModelConfig(deter=128, hidden=32, classes=8, depth=4, units=64, groups=8),
    behaviour=BehaviourConfig(imagination_length=10),
    optimizer=OptimizerConfig(learning_rate=1e-3, warmup=50),
    replay=ReplayConfig(batch=16, length=16),
    env=EnvConfig(envs=8),
    run=RunConfig(train_ratio=32, steps=60_000),
)
"""For the demo alone: a smaller model, shorter sequences and larger steps than the paper's, to be quick on a laptop."""
