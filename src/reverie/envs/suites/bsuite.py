"""The Behaviour Suite: small experiments that each test one ability. Extra `bsuite`."""

from typing import Any

from bsuite import bsuite, sweep

from reverie.envs.from_dm_env import FromDMEnv
from reverie.envs.suites import unknown


def make(task: str, *, render_mode: str | None = None) -> FromDMEnv:
    """A setting of an experiment as EXPERIMENT/NUMBER, for example "catch/0"; rendering is not supported.

    Experiments whose settings have no seed, such as memory_len, always use their built-in seed.
    """
    if task not in sweep.SETTINGS:
        raise unknown("bsuite id", task, sweep.SWEEP)
    settings = sweep.SETTINGS[task]

    def load(seed: int | None = None) -> Any:
        return bsuite.load(task.partition("/")[0], settings | {"seed": seed} if "seed" in settings else settings)

    return FromDMEnv(load(), remake=load, render_mode=render_mode)
