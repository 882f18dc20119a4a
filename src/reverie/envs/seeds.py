"""Seeds of several environments. May import: nothing of Reverie; NumPy."""

from collections.abc import Sequence

import numpy as np

HELD_OUT = 2**30 + 2**20  # the smallest seed of held-out environments; others go up to 2³⁰ and their number


def seeds(seed: int | Sequence[int], num_envs: int, held_out: bool = False) -> list[int]:
    """Distinct seeds below 2³¹, as old environments want them, that neighbouring run seeds don't share.

    Those of environments that are held out, for evaluation beside training, are none of the others'.
    """
    drawn = int(np.random.SeedSequence(seed).generate_state(1)[0])
    base = HELD_OUT + drawn % 2**29 if held_out else drawn % 2**30
    return [base + i for i in range(num_envs)]
