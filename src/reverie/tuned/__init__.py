"""Faster forms of an update's two recurrences. A reader of the algorithm can skip this room.

What is computed stands in `world_model` and `learner`; here it is computed in another order or memory layout, because
some platform is faster that way. The results are equal up to rounding, and `tests/tuned` holds them to the textbook's.

| form | replaces | on a CPU |
| --- | --- | --- |
| `observe` | `RSSM.observe` in `world_model/rssm.py` | `cpu/rssm.py`, for float32 |
| `look_ahead` | `look_ahead` in `learner/imagined.py` | `cpu/look_ahead.py` |

Every other platform uses the textbook's forms. `recurrence.py` serves any platform.

May import: `learner` and everything below it.
"""

from typing import Any

import jax
import jax.numpy as jnp

from reverie.learner import TEXTBOOK, Forms
from reverie.tuned import cpu


def best_forms(dtype: Any) -> Forms:
    """Return the fastest forms for the default device, with matrix products in `dtype`."""
    if jax.default_backend() != "cpu":
        return TEXTBOOK
    # In bfloat16, losses of sequences filtered in columns leave the bound that `tests/test_precision.py` sets.
    return cpu.FORMS if dtype == jnp.float32 else cpu.FORMS._replace(observe=TEXTBOOK.observe)


__all__ = ["best_forms"]
