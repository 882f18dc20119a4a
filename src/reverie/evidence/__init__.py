"""Compare runs with published learning curves. Needed by nothing but the command line.

May import: `config`, `envs.suites`, `errors`, `presets`, `results`, `storage`, `training`.

tasks      environments with a published curve, and the paper's settings for them
published  the curves that come with the package
overlay    published curves for the plot of some runs
campaign   tasks × seeds: what is finished, what remains, and training it
outcome    what came of a task and a seed, in one JSON file
pace       how long runs take
commit     which version of the code runs
scores     scores at equal frames, with intervals
comparing  all tasks, with published curves or with another version of the code
gate       whether the scores are as high as the published ones
summary    a table, CSV files, a picture and a page; words: numbers in tables
"""

from reverie.evidence.outcome import Outcome, read_outcome, read_outcomes
from reverie.evidence.overlay import overlays
from reverie.evidence.published import DREAMERV3, Published, published
from reverie.evidence.tasks import Task, all_tasks, find_task, task_of_run

__all__ = [
    "DREAMERV3",
    "Outcome",
    "Published",
    "Task",
    "all_tasks",
    "find_task",
    "overlays",
    "published",
    "read_outcome",
    "read_outcomes",
    "task_of_run",
]
