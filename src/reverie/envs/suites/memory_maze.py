"""Memory Maze: find objects in a maze repeatedly. Extra `memory-maze`, including Gym, which the package imports."""

from functools import partial
from typing import Any

from reverie.envs import drawing
from reverie.envs.from_dm_env import FromDMEnv
from reverie.envs.suites import unknown

drawing.choose_backend()  # before the import of memory_maze, which would select EGL

from memory_maze import tasks  # noqa: E402

SIZES = {
    "9x9": tasks.memory_maze_9x9,
    "11x11": tasks.memory_maze_11x11,
    "13x13": tasks.memory_maze_13x13,
    "15x15": tasks.memory_maze_15x15,
}


def make(task: str, **kwargs: Any) -> FromDMEnv:
    """A maze by its size, for example "9x9"; the border of its frames has the color of the object to find.

    The time limit truncates episodes.
    """
    if task not in SIZES:
        raise unknown("Memory Maze", task, SIZES)
    load = partial(SIZES[task], image_only_obs=True)
    return FromDMEnv(load(), remake=lambda seed: load(seed=seed), **kwargs)
