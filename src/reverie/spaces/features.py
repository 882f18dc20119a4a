"""What the networks know of an environment: the kind and shape of each of its observations and actions.

May import: nothing of Reverie; NumPy.
"""

from dataclasses import dataclass
from math import log, prod

import numpy as np


@dataclass(frozen=True)
class Image:
    """A uint8 image, shape (height, width, channels): of any size, which the networks bring onto their canvas."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Continuous:
    """Real numbers of any shape, () for a scalar. As an action: one number in [-1, 1] per entry."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Discrete:
    """Integers 0 … classes-1, one per entry of the shape, () for a single one.

    `counts` has the number of classes of each entry, flat, where an action's entries differ in it; `classes` is the
    largest of them.
    """

    shape: tuple[int, ...]
    classes: int
    counts: tuple[int, ...] | None = None

    @property
    def max_entropy(self) -> float:
        """Of independent uniform choices, in nats."""
        return sum(map(log, self.counts or [self.classes] * prod(self.shape)))


Feature = Image | Continuous | Discrete

DTYPES = {Image: np.uint8, Continuous: np.float32, Discrete: np.int32}  # of a feature's arrays
