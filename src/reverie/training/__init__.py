"""Training: where agent, replay and environments meet. May import everything below it.

    loop, compiled   the training loop, for environments stepped from Python and inside the compiled program
    learning         what both share: updates, replay, and what a checkpoint carries
    packed           named numbers in one array, such as an update's metrics
    records          what replay keeps of each step
    entry            `train`, the one call that does everything
    trainer          a run from start to end, made by `opening`
    callbacks        how users measure, steer and stop a run
    saving, folder   checkpoints; copying: of a run at one of them; run_file: how a run ended
    report, metrics  numbers to the display and to loggers
    recording        datasets from what an agent plays, and from a run's replay buffer
    evaluation       whole episodes with a fixed policy; periodic: during a run
"""

from reverie.training.callbacks import Callback
from reverie.training.copying import copy_run
from reverie.training.divergence import DivergedError
from reverie.training.entry import train
from reverie.training.evaluation import Evaluation, evaluate
from reverie.training.folder import BusyError
from reverie.training.inspection import inspect
from reverie.training.recording import export_replay
from reverie.training.saving import NotSavedError
from reverie.training.trainer import Trainer

__all__ = [
    "BusyError",
    "Callback",
    "DivergedError",
    "Evaluation",
    "NotSavedError",
    "Trainer",
    "copy_run",
    "evaluate",
    "export_replay",
    "inspect",
    "train",
]
