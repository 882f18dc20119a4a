"""Features: the kind and shape of each observation and action, which is all that the networks know of a space.

May import: nothing of Reverie; NumPy.
"""

from dataclasses import dataclass
from math import log, prod

import numpy as np


@dataclass(frozen=True)
class Image:
    """A uint8 image of any size, shape (height, width, channels); the networks fit it onto their canvas."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Continuous:
    """Real numbers of any shape, () for a scalar. As an action: one number in [-1, 1] per entry."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Discrete:
    """Integers 0 … classes-1, one per entry of the shape, () for a single one.

    If the entries of an action differ in their number of classes, `counts` lists it for each entry in flat order, and
    `classes` is the largest. `mask` is the key of the observation that says which classes of an action are allowed.
    """

    shape: tuple[int, ...]
    classes: int
    counts: tuple[int, ...] | None = None
    mask: str | None = None

    @property
    def max_entropy(self) -> float:
        """The entropy of independent uniform choices, in nats."""
        return sum(map(log, self.counts or [self.classes] * prod(self.shape)))


Feature = Image | Continuous | Discrete

DTYPES = {Image: np.uint8, Continuous: np.float32, Discrete: np.int32}  # of the arrays of each kind of feature
