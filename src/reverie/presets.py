"""Model sizes, the settings of suites and the demo, as data over `config`. May import: `config`."""

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
    """What the paper sets for a suite (section 5)."""

    size: str
    train_ratio: float
    envs: int
    steps: int | None  # decisions; None: each task has its own


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
"""Suites that the paper lacks. Stepped in the compiled program, they come many at once, with replay beside them."""


def for_suite(suite: str | None, config: Config) -> Config:
    """The config with the paper's train ratio, environments and steps for a suite, if it sets some.

    The model's size stays: the paper's, mostly size200m, wants a large accelerator.
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
"""For the demo alone: a smaller model, shorter sequences and larger steps than the paper's, to be quick on a laptop."""
