"""Suites of environments by their published names: "atari100k/pong", "dmc/walker_walk", "crafter".

May import: `errors`. Each suite has one file in this package, imported when one of its environments is created, and one
extra in pyproject.toml. The paper's settings for it are in `reverie.presets`.
"""

import difflib
import importlib
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any, NamedTuple

from reverie.errors import InputError


class Suite(NamedTuple):
    """A family of environments that share settings."""

    about: str
    file: str  # the module in this package, with a function make(task, **kwargs)
    kwargs: dict[str, Any]
    needs: tuple[str, ...]  # modules that it imports
    extra: str  # the extra that installs them
    example: str
    jax: bool = False  # whether its environments are `JaxEnv`s, for compiled programs


def _jax(about: str, name: str, task: str, *needs: str) -> Suite:
    """A suite of environments written in JAX."""
    return Suite(about, name, {}, needs or (name,), name, f"{name}/{task}", jax=True)


SUITES = {
    "atari": Suite(
        "Atari games, the setting of 200M frames",
        "atari",
        {"size": (96, 96), "gray": True, "sticky": 0.25, "minimal_actions": False},
        ("ale_py", "PIL"),
        "atari",
        "atari/pong",
    ),
    "atari100k": Suite(
        "Atari games, the setting of 100k decisions",
        "atari",
        {"size": (64, 64), "gray": False, "sticky": 0.0, "minimal_actions": True},
        ("ale_py", "PIL"),
        "atari",
        "atari100k/pong",
    ),
    "bsuite": Suite(
        "small experiments, each testing one ability", "bsuite", {}, ("bsuite",), "bsuite", "bsuite/catch/0"
    ),
    "crafter": Suite("open-world survival from pixels", "crafter", {}, ("crafter",), "crafter", "crafter"),
    "dmc": Suite(
        "DeepMind Control from joint positions and velocities",
        "dmc",
        {"pixels": False},
        ("dm_control",),
        "dmc",
        "dmc/walker_walk",
    ),
    "dmc_vision": Suite(
        "DeepMind Control from 64×64 pixels", "dmc", {"pixels": True}, ("dm_control",), "dmc", "dmc_vision/walker_walk"
    ),
    "memory_maze": Suite(
        "mazes that require memory",
        "memory_maze",
        {},
        ("memory_maze", "gym", "dm_control"),
        "memory-maze",
        "memory_maze/9x9",
    ),
    "metaworld": Suite(
        "manipulation with a robot arm", "metaworld", {}, ("metaworld", "packaging"), "metaworld", "metaworld/reach-v3"
    ),
    "minigrid": Suite(
        "grid worlds, partially observed", "minigrid", {}, ("minigrid",), "minigrid", "minigrid/DoorKey-5x5-v0"
    ),
    "openai_gym": Suite(
        "all environments registered with Gym", "openai_gym", {}, ("gym",), "openai-gym", "openai_gym/CartPole-v1"
    ),
    "popgym": Suite(
        "small tasks that require memory", "popgym", {}, ("popgym",), "popgym", "popgym/RepeatPreviousEasy-v0"
    ),
    "procgen": Suite(
        "games with procedurally generated levels", "procgen", {}, ("envpool", "PyQt5"), "procgen", "procgen/coinrun"
    ),
    "craftax": _jax("Craftax and Craftax-Classic: Crafter's worlds in JAX", "craftax", "classic"),
    "gymnax": _jax("classic control, MinAtar and bsuite in JAX", "gymnax", "Breakout-MinAtar", "gymnax", "six"),
    "brax": _jax("robots simulated in JAX", "brax", "ant"),
    "playground": _jax(
        "MuJoCo Playground: control and robots in JAX", "playground", "CartpoleBalance", "mujoco_playground"
    ),
    "jumanji": _jax("puzzles and combinatorial problems in JAX", "jumanji", "Game2048-v1"),
}


def suite_of(name: str) -> str | None:
    """The suite whose prefix an environment's name has, or None."""
    prefix = name.partition("/")[0]
    return prefix if prefix in SUITES and (name != prefix or SUITES[prefix].example == prefix) else None


def missing(suite: str) -> list[str]:
    """Modules that the suite needs and that are not installed."""
    return [module for module in SUITES[suite].needs if find_spec(module) is None]


def make(name: str, **kwargs: Any) -> Any:
    """Create an environment of a suite: a `gymnasium.Env`, or a `JaxEnv` for suites in JAX.

    Raises:
        ModuleNotFoundError: the suite's packages are not installed.
        InputError: the suite has no such task.
    """
    suite = SUITES[name.partition("/")[0]]
    module = importlib.import_module(f"reverie.envs.suites.{suite.file}")
    return module.make(name.partition("/")[2], **suite.kwargs, **kwargs)


def unknown(what: str, task: str, known: Iterable[str]) -> InputError:
    """The error for a task that a suite does not have, with the closest names."""
    names = sorted(known)
    close = difflib.get_close_matches(task, names, n=2)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    return InputError(f"There is no {what} {task!r}{hint}; there are {len(names)}, such as {names[0]}.")
