"""Forms for a GPU, where a small model is bound by the number of kernels that it launches.

Imagination stays in the textbook's form: it has no gradient through time, so that a step stores little.
"""

from reverie.learner import TEXTBOOK
from reverie.tuned.gpu.rssm import observe

FORMS = TEXTBOOK._replace(observe=observe)

__all__ = ["FORMS", "observe"]
