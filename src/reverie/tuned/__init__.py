"""Faster copies of two functions, `RSSM.observe` and `learner.look_ahead`. To understand the algorithm, skip them.

They compute the same in another order or memory layout, because some platform is faster that way. The results are equal
up to rounding, which `tests/tuned` checks.

Training runs these copies; acting runs the originals. To change the RSSM, a head, the actor or the critic, set
`model.forms` to "textbook", which trains with the originals too. Then change the copies until `tests/tuned` passes.
The encoder and the decoder have no copies.

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
    # In bfloat16, filtering in columns is not exact enough for the bound in `tests/test_precision.py`.
    return cpu.FORMS if dtype == jnp.float32 else cpu.FORMS._replace(observe=TEXTBOOK.observe)


__all__ = ["best_forms"]
