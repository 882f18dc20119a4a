"""The learner: one gradient step on world model, actor and critic (docs/algorithm.md, sections 3 to 5).

May import: `world_model`, `behaviour`, `optim` and what they build on, `experience`, `config`, `compiling`,
`devices`.
"""

from reverie.learner.forms import TEXTBOOK, Forms
from reverie.learner.imagined import Outlook, imagination_keys, look_ahead
from reverie.learner.networks import Networks, compute_dtype
from reverie.learner.update import Auxiliary, Learner, LearnerState, StoredLatents, UpdateOutput

__all__ = [
    "TEXTBOOK",
    "Auxiliary",
    "Forms",
    "Learner",
    "LearnerState",
    "Networks",
    "Outlook",
    "StoredLatents",
    "UpdateOutput",
    "compute_dtype",
    "imagination_keys",
    "look_ahead",
]
