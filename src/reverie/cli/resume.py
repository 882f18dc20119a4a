"""`reverie resume`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from reverie.cli.flags import overrides
from reverie.errors import InputError


@dataclass(frozen=True)
class Resume:
    """Resume a run with its own settings."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    steps: int | None = None
    """Total environment steps to train for, including those already done."""
    train_ratio: float | None = None
    replay_memory: str | None = None
    replay_home: Literal["memory", "disk", "device"] | None = None
    replay_capacity: int | None = None
    log_every: float | None = None
    checkpoint_every: float | None = None
    keep: int | None = None
    eval_every: int | None = None
    dream_every: float | None = None
    wandb: str | None = None

    def __call__(self) -> None:
        from reverie.agent import read_description
        from reverie.training import train

        file = self.run / "agent.json"
        if not file.exists():
            raise InputError(f"There is no run in '{self.run}'; start one with: reverie train ENV --logdir {self.run}")
        _, config, env = read_description(file)
        if env is None:
            raise InputError(
                f"'{self.run}' does not record how to make its environment; resume it from the script that started it."
            )
        train(env, config.override(**overrides(self)), logdir=self.run, resume="must")
