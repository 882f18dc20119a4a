"""`reverie train`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from reverie.cli.configured import Configured
from reverie.config import Bound, Config
from reverie.errors import InputError


@dataclass(frozen=True)
class Train(Configured):
    """Train an agent, or resume the run in its folder.

    Flags override the settings in --config, and those override the paper's settings for the environment's suite.
    """

    env: tyro.conf.Positional[str] = ""
    """A registered Gymnasium ID (CartPole-v1), a task of a suite (atari100k/pong; see reverie suites), package:Name-v0,
    or module:factory. With --dataset, by default the recorded environment."""
    updates: Annotated[int | None, Bound(1)] = None
    """Train on --dataset alone, without stepping an environment, for so many updates: --env.mode offline --steps
    UPDATES."""
    logdir: Path | None = None
    """The run's folder, for checkpoints and metrics. By default runs/ and the environment's name."""
    resume: Literal["auto", "must", "never"] = "auto"
    """auto: resume the run in the folder if there is one. must: fail if there is none. never: fail if there is one."""

    start_from: Annotated[Path | None, tyro.conf.arg(name="from")] = None
    """Folder of an agent or a run. A new run starts from its parameters where they fit; spaces and sizes may differ."""
    only: Literal["world_model", "actor", "critic"] | None = None
    """With --from: take only these networks' parameters."""
    checkpoint: Literal["newest", "best"] | int = "newest"
    """With --from RUN: the checkpoint to start from, also as a number of environment steps."""

    def __call__(self) -> None:
        from reverie.training import train

        if self.only and not self.start_from:
            raise InputError("--only says what to take from another run; name the run with --from RUN.")
        if self.checkpoint != "newest" and not self.start_from:
            raise InputError(
                "--checkpoint chooses one of another run; name the run with --from RUN. To go back in this run, use: "
                "reverie resume RUN --checkpoint STEP."
            )
        env = (self.env or _recorded(self.config)).removeprefix("gym/")
        offline = {} if self.updates is None else {"steps": self.updates, "env.mode": "offline"}
        train(
            env,
            self.config.override(**offline),
            logdir=self.logdir or _folder(env),
            resume=self.resume,
            start_from=self.start_from,
            start_with=self.only,
            start_checkpoint=self.checkpoint,
        )


def _recorded(config: Config) -> str:
    """The environment that the dataset was recorded in."""
    from reverie.datasets import open_dataset

    if not (name := config.replay.dataset):
        raise InputError("Name an environment to train in: reverie train ENV. 'reverie suites' lists suites of them.")
    if (env := open_dataset(name).env) is None:
        raise InputError(f"'{name}' does not record its environment; name it: reverie train ENV --dataset {name}")
    return env


def _folder(env: str) -> Path:
    """The default folder for an environment's run."""
    return Path("runs") / "".join(c if c.isalnum() or c in "-_." else "-" for c in env)
