"""Numbers that environments report in `info` at the end of an episode. May import: nothing of Reverie; NumPy."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

MOST = 100  # numbers kept of one info
KINDS = tuple("biufV")  # of dtypes of numbers and booleans; V: bfloat16 and other small floats


def numbers(info: Mapping[Any, Any]) -> dict[str, float]:
    """The finite numbers and booleans of an info, nested names joined with "/"; at most `MOST` of them."""
    return dict(islice(_numbers(info), MOST))


def row(info: Mapping[str, Any], index: int) -> dict[str, float]:
    """The same for environment `index` of a VectorEnv, whose infos hold arrays with one entry per environment."""
    return numbers(_row(info, index))


def traced(info: Mapping[Any, Any] | None) -> dict[str, Any]:
    """The numbers and booleans of an info in a compiled program, named as by `numbers`; at most `MOST` of them."""
    return dict(islice(_scalars(info or {}), MOST))


def _numbers(info: Mapping[Any, Any]) -> Iterator[tuple[str, float]]:
    for name, value in _scalars(info):
        try:
            number = float(value)
        except (OverflowError, TypeError, ValueError):
            continue
        if np.isfinite(number):
            yield name, number


def _scalars(info: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in info.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, bool | int | float) or _is_single(value):
            yield f"{prefix}{name}", value


def _is_single(array: Any) -> bool:
    """Whether this is a NumPy scalar, or an array or tensor of any package, that holds a single number or boolean."""
    kind = getattr(getattr(array, "dtype", None), "kind", None)
    number = hasattr(array, "detach") if kind is None else kind in KINDS  # PyTorch's dtypes have no kind
    return number and getattr(array, "shape", None) == ()


def _row(info: Mapping[str, Any], index: int) -> dict[str, Any]:
    """The entries that environment `index` has set, as the masks in "_name" tell."""
    found = {}
    for name, value in info.items():
        mask = info.get(f"_{name}")
        if str(name).startswith("_") or (mask is not None and not mask[index]):
            continue
        if isinstance(value, Mapping):
            found[name] = _row(value, index)
        elif getattr(value, "shape", ()) and len(value) > index:  # an array or a tensor
            found[name] = value[index]
    return found
