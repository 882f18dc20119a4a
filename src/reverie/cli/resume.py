"""`reverie resume`. May import: everything below `cli`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from reverie.cli.configured import Settings
from reverie.config import Config
from reverie.errors import InputError


@dataclass(frozen=True)
class Resume(Settings):
    """Resume a run with its own settings.

    Flags change settings from now on. Those on which the saved parameters depend can't change.
    """

    run: tyro.conf.Positional[Path]
    """The run's folder."""
    checkpoint: Literal["newest", "best"] | int = "newest"
    """The checkpoint to resume from: the newest one, the best one by the evaluations during training, or the one of so
    many environment steps. An older one than the newest needs --logdir."""
    logdir: Path | None = None
    """A new folder. The run is copied there, as it was at the checkpoint, and continues in the copy."""

    @classmethod
    def with_defaults(cls, given: Mapping[str, Any]) -> "Resume":
        """The command without flags: the run's settings, given its arguments by name."""
        run: Path = given["run"]
        try:
            return cls(run, config=_description(run)[0])
        except (InputError, OSError):
            return cls(run)  # what is wrong is reported when the command runs

    def __call__(self) -> None:
        from reverie.training import copy_run, train
        from reverie.training.copying import check_newest

        _, env = _description(self.run)
        if self.logdir is not None:
            copy_run(self.run, self.logdir, self.checkpoint)
        elif self.checkpoint != "newest":
            check_newest(self.run, self.checkpoint)
        train(env, self.config, logdir=self.logdir or self.run, resume="must")


def _description(run: Path) -> tuple[Config, str]:
    """A run's config, and its environment's name."""
    from reverie.agent import read_description

    file = run / "agent.json"
    if not file.exists():
        raise InputError(f"There is no run in '{run}'; start one with: reverie train ENV --logdir {run}")
    _, config, env = read_description(file)
    if env is None:
        raise InputError(
            f"'{run}' does not record how to make its environment; resume it from the script that started it."
        )
    return config, env
