"""Compare runs with published learning curves. Needed by nothing but the command line.

May import: `config`, `errors`, `presets`, `envs.suites`, `results`, `storage`, `training`.

tasks      environments with a published curve, and the paper's settings for them
published  the curves that come with the package
overlay    published curves for the plot of some runs
"""

from reverie.evidence.overlay import overlays
from reverie.evidence.published import DREAMERV3, Published, published
from reverie.evidence.tasks import Task, all_tasks, find_task, task_of_run

__all__ = [
    "DREAMERV3",
    "Published",
    "Task",
    "all_tasks",
    "find_task",
    "overlays",
    "published",
    "task_of_run",
]
