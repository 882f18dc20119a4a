"""The seam through which a platform replaces how an update is computed, without changing what is computed."""

from typing import NamedTuple

from reverie.learner.imagined import LookAhead, look_ahead
from reverie.world_model import RSSM, Observe


class Forms(NamedTuple):
    """The two recurrences of an update, which take nearly all of its time.

    `TEXTBOOK` computes them as the equations are written. `reverie.tuned` has forms that are faster on some platform
    and equal up to rounding.
    """

    observe: Observe  # filters replayed sequences, in place of `RSSM.observe`
    look_ahead: LookAhead  # imagines from every replayed state, in place of `look_ahead`


TEXTBOOK = Forms(RSSM.observe, look_ahead)
