"""The Behaviour Suite: small experiments, each of which asks for one ability. Extra `bsuite`."""

from typing import Any

from bsuite import bsuite, sweep

from reverie.envs.from_dm_env import FromDMEnv
from reverie.envs.suites import unknown


def make(task: str, *, render_mode: str | None = None) -> FromDMEnv:
    """An experiment's setting as EXPERIMENT/NUMBER, for instance "catch/0"; there is nothing to render.

    An experiment whose settings have no seed, such as memory_len, has one of its own and keeps it.
    """
    if task not in sweep.SETTINGS:
        raise unknown("bsuite id", task, sweep.SWEEP)
    settings = sweep.SETTINGS[task]

    def load(seed: int | None = None) -> Any:
        return bsuite.load(task.partition("/")[0], settings | {"seed": seed} if "seed" in settings else settings)

    return FromDMEnv(load(), remake=load, render_mode=render_mode)
