"""Predictions of the world model for people to look at and to play in.

May import: `agent` and below, `replay`.

    open_loop  prediction: half of a replayed sequence is observed, the rest predicted from the actions alone
    film       open-loop predictions of images as a film: truth, prediction and error
    lines      open-loop predictions of numbers, of the reward and of continuation as curves
    album      the pictures and films in a run's folder
    video      a video file, written frame by frame

    dreamer    a run's newest readable checkpoint: its agent, and recorded moments to start from
    model      the world model in the environment's own terms: observe, imagine, predict
    environment  the world model as a Gymnasium environment, single or vectorized
    player     a dream: a tree of imagined states that starts at a recorded moment
    moments    recorded moments, read from a checkpoint
    scene      what the agent predicts and would do in one state, compiled
    actions    validation of actions from outside
"""

from reverie.dreams.album import Album
from reverie.dreams.dreamer import Dreamer
from reverie.dreams.environment import DreamEnv, DreamVectorEnv
from reverie.dreams.model import DreamModel
from reverie.dreams.moments import Moment
from reverie.dreams.open_loop import HORIZONS, OpenLoop, open_loop
from reverie.dreams.player import Dream, State, Truth
from reverie.dreams.scene import Scene

__all__ = [
    "HORIZONS",
    "Album",
    "Dream",
    "DreamEnv",
    "DreamModel",
    "DreamVectorEnv",
    "Dreamer",
    "Moment",
    "OpenLoop",
    "Scene",
    "State",
    "Truth",
    "open_loop",
]
