"""Where agent, replay and environments meet. May import everything below it."""

from reverie.training.evaluation import Evaluation, evaluate
from reverie.training.inspection import inspect
from reverie.training.trainer import DivergedError, Trainer, train

__all__ = ["DivergedError", "Evaluation", "Trainer", "evaluate", "inspect", "train"]
