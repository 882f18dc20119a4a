"""Which functions compute the two recurrences of an update."""

from typing import NamedTuple

from reverie.learner.imagined import LookAhead, look_ahead
from reverie.world_model import RSSM, Observe


class Forms(NamedTuple):
    """The two recurrences of an update, which take nearly all of its time.

    `TEXTBOOK` computes them as the equations are written. `reverie.tuned` has functions that are faster on a platform
    and equal up to rounding; training uses these unless `model.forms` is "textbook".
    """

    observe: Observe  # filters replayed sequences, in place of `RSSM.observe`
    look_ahead: LookAhead  # imagines from every replayed state, in place of `look_ahead`


TEXTBOOK = Forms(RSSM.observe, look_ahead)
