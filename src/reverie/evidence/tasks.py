"""Environments with a published curve, and the settings that it was made with.

May import: `config`, `envs.suites`, `errors`, `presets`, `published`. Works without the suites' packages.
"""

import difflib
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import NamedTuple

from reverie.config import Config, differences
from reverie.envs.suites import suite_of
from reverie.errors import InputError
from reverie.evidence.published import DREAMERV3, OWN, Published, keys, published, random_scores
from reverie.presets import SIZES, SUITES, for_suite


class Source(NamedTuple):
    """Where the curves of a suite are: the suite's name in the data, and the frames of one environment step."""

    suite: str
    frames: int


SOURCES = {
    "atari": Source("atari57", 4),
    "atari100k": Source("atari100k", 4),
    "dmc": Source("dmc_proprio", 1),
    "dmc_vision": Source("dmc_vision", 1),
    "procgen": Source("procgen", 1),
}

SMALL = Config.of(
    train_ratio=256,
    envs=4,
    **{
        "replay.batch": 8,
        "replay.length": 32,
        "model.deter": 128,
        "model.hidden": 32,
        "model.groups": 16,
        "model.classes": 8,
        "model.units": 32,
        "model.compute_dtype": "float32",
        "optimizer.learning_rate": 3e-4,
    },
)
"""A small setting that shows a whole learning curve in minutes. The authors' code was run in it too."""

OWN_SETTINGS = {"small/cartpole": ("small_cartpole", SMALL), "CartPole-v1": ("cartpole", Config())}
OWN_ENV = "CartPole-v1"

# Settings that change how a run is computed or recorded, but not what it learns.
IRRELEVANT = (
    *("run.steps", "run.log_every", "run.checkpoint_every", "run.keep", "run.eval_", "run.dream_every"),
    *("run.tensorboard", "run.wandb", "env.mode", "env.restarts", "env.timeout", "env.info"),
    *("replay.home", "replay.memory", "model.forms", "model.compute_dtype", "seed"),
)


@dataclass(frozen=True)
class Task:
    """An environment in certain settings.

    Attributes:
        name: as on the command line, such as 'dmc/walker_walk'.
        env: the environment's name for `reverie.train`.
        config: the settings, without a number of steps.
        frames_per_step: environment frames of one environment step.
        suite: the suite's name in the published data; None if nothing is published.
        task: the task's name there.
        budget: the frames to train for by default.
    """

    name: str
    env: str
    config: Config
    frames_per_step: int
    suite: str | None
    task: str
    budget: int

    def published(self, method: str = DREAMERV3) -> Published:
        """A method's curve of this task; raises an InputError if there is none."""
        if self.suite is None:
            raise InputError(f"There is no published curve of {self.name!r}{similar(self.name)}")
        return published(self.suite, self.task, method)

    @cached_property
    def floor(self) -> float:
        """The mean return of a random policy, from which scores are counted."""
        return random_scores().get(self.task, 0.0)

    def steps(self, frames: int) -> int:
        """Environment steps that cover this many frames."""
        return -(-frames // self.frames_per_step)


@cache
def all_tasks() -> dict[str, Task]:
    """Every task with a published curve of DreamerV3 and an environment here, by name."""
    found = {name: _own(name) for name in OWN_SETTINGS}
    suites = {source.suite: suite for suite, source in SOURCES.items()}
    for suite, task, method in keys():
        if suite in suites and method == DREAMERV3:
            name = f"{suites[suite]}/{task.partition('_')[2]}"
            found[name] = _of_suite(name, suites[suite], task)
    return found


def find_task(name: str) -> Task:
    """The task of this name.

    Raises:
        InputError: no curve of it is published; the message has the closest names.
    """
    if name not in all_tasks():
        raise InputError(f"There is no published curve of {name!r}{similar(name)}")
    return all_tasks()[name]


def similar(name: str) -> str:
    """The end of a sentence about an unknown task: the closest names, and how to see all."""
    last = name.rpartition("/")[2]
    same = [known for known in all_tasks() if known.rpartition("/")[2] == last]
    close = same or difflib.get_close_matches(name, all_tasks(), n=2)
    hint = f"; did you mean {' or '.join(repr(one) for one in close[:2])}?" if close else "."
    return f"{hint} 'reverie benchmark --list' lists all."


def unpublished(env: str, frames: int) -> Task:
    """An environment without a published curve, to compare two versions of the code on."""
    config = for_suite(suite_of(env), Config())
    per_step = SOURCES[str(suite_of(env))].frames if suite_of(env) in SOURCES else 1
    return Task(env, env, config, per_step, None, env, frames)


def task_of_run(env: str, config: Config) -> Task | None:
    """The task that a run is of, or None; for environments outside of the suites, the settings have to agree too."""
    for name, (_, settings) in OWN_SETTINGS.items():
        if env == OWN_ENV and not differences(settings, config, IRRELEVANT):
            return all_tasks()[name]
    return all_tasks().get(env) if suite_of(env) else None


def _own(name: str) -> Task:
    task, config = OWN_SETTINGS[name]
    return Task(name, OWN_ENV, config, 1, OWN, task, published(OWN, task).budget)


def _of_suite(name: str, suite: str, task: str) -> Task:
    source = SOURCES[suite]
    return Task(name, name, _paper(suite), source.frames, source.suite, task, published(source.suite, task).budget)


@cache
def _paper(suite: str) -> Config:
    """A suite's settings in the paper, the model size included."""
    return replace(for_suite(suite, Config()), model=SIZES[SUITES[suite].size])
