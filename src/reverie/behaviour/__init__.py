"""The behaviour (section 4). May import: `ops`, `nn`, `distributions`, `spaces`; knows no world model."""

from reverie.behaviour.actor import Actor, Policy
from reverie.behaviour.critic import Critic
from reverie.behaviour.imagination import Trajectory, imagine
from reverie.behaviour.losses import ImaginationLoss, imagination_loss, replay_value_loss

__all__ = [
    "Actor",
    "Critic",
    "ImaginationLoss",
    "Policy",
    "Trajectory",
    "imagination_loss",
    "imagine",
    "replay_value_loss",
]
