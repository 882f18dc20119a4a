"""Faster forms of an update's two recurrences. A reader of the algorithm can skip this room.

What is computed stands in `world_model` and `learner`; here it is computed in another order or memory layout, because
some platform is faster that way. The results are equal up to rounding, and `tests/tuned` holds them to the textbook's.

| form | replaces | on a CPU | on a GPU |
| --- | --- | --- | --- |
| `observe` | `RSSM.observe` in `world_model/rssm.py` | `cpu/rssm.py`, for float32 | `gpu/rssm.py` |
| `look_ahead` | `look_ahead` in `learner/imagined.py` | `cpu/look_ahead.py` | the textbook's |

Every other platform uses the textbook's forms.

May import: `learner` and everything below it.
"""

from typing import Any

import jax
import jax.numpy as jnp

from reverie.learner import TEXTBOOK, Forms
from reverie.tuned import cpu, gpu


def best_forms(dtype: Any, platform: str | None = None) -> Forms:
    """Return the fastest forms for matrix products in `dtype` on a platform, by default that of the default device."""
    platform = platform or jax.default_backend()
    if platform != "cpu":
        return gpu.FORMS if platform == "gpu" else TEXTBOOK
    # In bfloat16, losses of sequences filtered in columns leave the bound that `tests/test_precision.py` sets.
    return cpu.FORMS if dtype == jnp.float32 else cpu.FORMS._replace(observe=TEXTBOOK.observe)


__all__ = ["best_forms"]
