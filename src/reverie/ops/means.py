"""Means of many arrays for metrics."""

from collections import defaultdict
from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array, Float


def means(arrays: Mapping[str, Array]) -> dict[str, Float[Array, ""]]:
    """Return the mean of each array in float32.

    Arrays of one shape are reduced together: a GPU takes as long to launch the kernels of one mean as those of all.
    """
    names = defaultdict(list)
    for name, array in arrays.items():
        names[array.shape].append(name)
    found: dict[str, Array] = {}
    for shape, group in names.items():
        stacked = jnp.stack([arrays[name].astype(jnp.float32) for name in group])
        averages = jnp.mean(stacked, axis=tuple(range(1, 1 + len(shape))))
        found |= dict(zip(group, averages, strict=True))
    return {name: found[name] for name in arrays}
