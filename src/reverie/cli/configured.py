"""Settings of a run as flags, and commands on an environment with all of them. May import: everything below `cli`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from reverie.config import Config, Size
from reverie.config.file import read_settings
from reverie.envs.suites import suite_of
from reverie.presets import for_suite


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run, and short flags for those that change most often."""

    steps: int | None = None
    train_ratio: float | None = None
    envs: int | None = None
    keys: str | None = None
    encoder_keys: str | None = None
    decoder_keys: str | None = None
    replay_memory: str | None = None
    replay_home: Literal["memory", "disk", "device"] | None = None
    replay_capacity: int | None = None
    dataset: str | None = None
    log_every: float | None = None
    checkpoint_every: float | None = None
    keep: int | None = None
    eval_every: int | None = None
    dream_every: float | None = None
    wandb: str | None = None
    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)


@dataclass(frozen=True)
class Configured(Settings):
    """A command on an environment, with a config.

    Flags override the settings in --config, and those override the paper's settings for the environment's suite.
    """

    env: tyro.conf.Positional[str]
    """A registered Gymnasium ID (CartPole-v1), a task of a suite (atari100k/pong; see reverie suites), package:Name-v0,
    or module:factory."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """A YAML file with settings, such as the config.yaml that every run writes into its folder."""
    size: Size | None = None
    """A published model size. Sets --model.deter, hidden, classes, depth and units."""

    @classmethod
    def with_defaults(cls, given: Mapping[str, Any]) -> "Configured":
        """The command without flags: the settings that the flags override, given its arguments by name."""
        config = for_suite(suite_of(given["env"] or ""), Config())
        if given["config_file"] is not None:
            config = config.override(**read_settings(given["config_file"]))
        if given["size"] is not None:
            config = config.override(size=given["size"])
        return cls(given["env"], config=config)
