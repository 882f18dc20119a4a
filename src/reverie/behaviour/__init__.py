"""The behavior (docs/algorithm.md, section 4).

May import: `ops`, `nn`, `distributions`, `spaces`; it does not know the world model.
"""

from reverie.behaviour.actor import Actor, Allowed, Policy
from reverie.behaviour.critic import Critic
from reverie.behaviour.imagination import Action, roll_out
from reverie.behaviour.losses import (
    ImaginationLoss,
    ImaginationTargets,
    StepTargets,
    imagination_loss,
    imagination_targets,
    replay_value_loss,
)

__all__ = [
    "Action",
    "Actor",
    "Allowed",
    "Critic",
    "ImaginationLoss",
    "ImaginationTargets",
    "Policy",
    "StepTargets",
    "imagination_loss",
    "imagination_targets",
    "replay_value_loss",
    "roll_out",
]
