"""The learner: one gradient step over world model, actor and critic (sections 3 to 5).

May import: `world_model`, `behaviour`, `optim` and what they stand on, `experience`, `config`.
"""

from reverie.learner.networks import Networks, compute_dtype
from reverie.learner.update import Auxiliary, Latents, Learner, LearnerState, UpdateOutput

__all__ = ["Auxiliary", "Latents", "Learner", "LearnerState", "Networks", "UpdateOutput", "compute_dtype"]
