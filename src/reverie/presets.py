"""Presets: model sizes, the paper's settings for suites, and the demo. May import: `config`."""

from dataclasses import replace
from types import MappingProxyType
from typing import NamedTuple

from reverie.config import (
    WIDTHS,
    BehaviourConfig,
    Config,
    EnvConfig,
    ModelConfig,
    OptimizerConfig,
    ReplayConfig,
    RunConfig,
)

SIZES = MappingProxyType({name: ModelConfig(**widths) for name, widths in WIDTHS.items()})
"""The published model sizes (section 2). Names give the approximate number of parameters."""


class SuitePreset(NamedTuple):
    """The paper's settings for a suite (section 5)."""

    size: str
    train_ratio: float
    envs: int
    steps: int | None  # environment steps; None: they differ between tasks


SUITES = MappingProxyType(
    {
        "atari": SuitePreset("size200m", 32, 16, 50_000_000),
        "atari100k": SuitePreset("size200m", 256, 1, 100_000),
        "bsuite": SuitePreset("size200m", 1024, 1, None),
        "crafter": SuitePreset("size200m", 512, 1, 1_000_000),
        "dmc": SuitePreset("size1m", 1024, 16, 1_000_000),
        "dmc_vision": SuitePreset("size200m", 256, 16, 1_000_000),
        "procgen": SuitePreset("size200m", 64, 16, 100_000_000),
    }
)

IN_JAX = frozenset({"brax", "craftax", "gymnax", "jumanji", "playground"})
"""Suites written in JAX, which are not in the paper. They run on the device, and so does the replay buffer."""


def for_suite(suite: str | None, config: Config) -> Config:
    """Return the config with the paper's train ratio, number of environments and steps for a suite, if it has any.

    The model size stays, because the paper's, mostly size200m, needs a large accelerator.
    """
    if suite in IN_JAX:
        return replace(config, env=replace(config.env, envs=16), replay=replace(config.replay, home="device"))
    preset = SUITES.get(suite or "")
    if preset is None:
        return config
    run = replace(config.run, train_ratio=preset.train_ratio, steps=preset.steps or config.run.steps)
    return replace(config, run=run, env=replace(config.env, envs=preset.envs))


DEMO = Config(
    model=ModelConfig(deter=128, hidden=32, classes=8, depth=4, units=64, groups=8),
    behaviour=BehaviourConfig(imagination_length=10),
    optimizer=OptimizerConfig(learning_rate=1e-3, warmup=50),
    replay=ReplayConfig(batch=16, length=16),
    env=EnvConfig(envs=8),
    run=RunConfig(train_ratio=32, steps=60_000),
)
"""The demo's settings: a smaller model, shorter sequences and a higher learning rate than the paper's, for laptops."""
