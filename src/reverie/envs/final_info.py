"""Numbers that environments report in `info` at the end of an episode. May import: nothing of Reverie; NumPy."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

MOST = 100  # numbers kept of one info


def numbers(info: Mapping[Any, Any]) -> dict[str, float]:
    """The finite numbers and booleans of an info, nested names joined with "/"; at most `MOST` of them."""
    return dict(islice(_numbers(info, ""), MOST))


def row(info: Mapping[str, Any], index: int) -> dict[str, float]:
    """The same for environment `index` of a VectorEnv, whose infos hold arrays with one entry per environment."""
    return numbers(_row(info, index))


def _numbers(info: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, float]]:
    for name, value in info.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{key}/")
        elif isinstance(value, bool | int | float | np.number | np.bool_) or (
            isinstance(value, np.ndarray) and value.shape == () and value.dtype.kind in "biuf"
        ):
            try:
                number = float(value)
            except OverflowError:
                continue
            if np.isfinite(number):
                yield key, number


def _row(info: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The entries that environment `index` has set, as the masks in "_name" tell."""
    found = {}
    for name, value in info.items():
        mask = info.get(f"_{name}")
        if str(name).startswith("_") or (mask is not None and not mask[index]):
            continue
        if isinstance(value, Mapping):
            found[name] = _row(value, index)
        elif isinstance(value, np.ndarray) and value.ndim and len(value) > index:
            found[name] = value[index]
    return found
