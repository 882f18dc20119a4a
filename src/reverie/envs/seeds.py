"""Seeds for vectorized environments. May import: nothing of Reverie; NumPy."""

from collections.abc import Sequence

import numpy as np

HELD_OUT = 2**30 + 2**20  # the smallest seed of held-out environments; the others stay below 2³⁰ plus their number

HELD_OUT_INDEX = 1000  # the index of the first held-out environment, for factories that derive ports from it


def seeds(seed: int | Sequence[int], num_envs: int, held_out: bool = False) -> list[int]:
    """Distinct seeds below 2³¹, the limit of old environments, that runs with neighboring seeds don't share.

    Held-out environments, for evaluation during training, get seeds that no other environment has.
    """
    drawn = int(np.random.SeedSequence(seed).generate_state(1)[0])
    base = HELD_OUT + drawn % 2**29 if held_out else drawn % 2**30
    return [base + i for i in range(num_envs)]
