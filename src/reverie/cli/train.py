"""`reverie train`. May import: everything below `cli`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from reverie.cli.flags import overrides
from reverie.config import Config, Size
from reverie.config.file import read_settings
from reverie.envs.suites import suite_of
from reverie.presets import for_suite


@dataclass(frozen=True)
class Train:
    """Train an agent, or resume the run in its folder.

    Flags override the settings in --config, and those override the paper's settings for the environment's suite.
    """

    env: tyro.conf.Positional[str]
    """A registered Gymnasium ID (CartPole-v1), a task of a suite (atari100k/pong; see reverie suites), package:Name-v0,
    or module:factory."""
    logdir: Path | None = None
    """The run's folder, for checkpoints and metrics. By default runs/ and the environment's name."""
    resume: Literal["auto", "must", "never"] = "auto"
    """auto: resume the run in the folder if there is one. must: fail if there is none. never: fail if there is one."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """A YAML file with settings, such as the config.yaml that every run writes into its folder."""
    size: Size | None = None
    """A published model size. Sets --model.deter, hidden, classes, depth and units."""
    steps: int | None = None
    train_ratio: float | None = None
    envs: int | None = None
    keys: str | None = None
    encoder_keys: str | None = None
    decoder_keys: str | None = None
    replay_memory: str | None = None
    replay_home: Literal["memory", "disk", "device"] | None = None
    replay_capacity: int | None = None
    log_every: float | None = None
    checkpoint_every: float | None = None
    keep: int | None = None
    eval_every: int | None = None
    dream_every: float | None = None
    wandb: str | None = None
    config: Annotated[Config, tyro.conf.arg(name="")] = field(default_factory=Config)

    def with_defaults(self) -> "Train":
        """This command without flags, and with the settings that its flags override."""
        config = for_suite(suite_of(self.env), Config())
        if self.config_file is not None:
            config = config.override(**read_settings(self.config_file))
        if self.size is not None:
            config = config.override(size=self.size)
        return Train(self.env, config=config)

    def __call__(self) -> None:
        from reverie.training import train

        env = self.env.removeprefix("gym/")
        train(env, self.config.override(**overrides(self)), logdir=self.logdir or _folder(env), resume=self.resume)


def _folder(env: str) -> Path:
    """The default folder for an environment's run."""
    return Path("runs") / "".join(c if c.isalnum() or c in "-_." else "-" for c in env)
