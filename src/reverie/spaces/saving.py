"""Saving of spaces in JSON's types, and loading.

May import: `kinds`; Gymnasium and NumPy.
"""

from math import inf
from typing import Any

import numpy as np
from gymnasium import spaces

from reverie.errors import InputError
from reverie.spaces.kinds import start_and_count


def space_to_json(space: Any) -> dict[str, Any]:
    """Convert a supported space to JSON's types."""
    match space:
        case spaces.Dict():
            return {
                "type": "Dict",
                "spaces": {name: space_to_json(child) for name, child in space.spaces.items()},
            }
        case spaces.Tuple():
            return {"type": "Tuple", "spaces": [space_to_json(child) for child in space.spaces]}
        case spaces.Box():
            return {
                "type": "Box",
                "low": _bound_to_json(space.low, space.bounded_below, -inf),
                "high": _bound_to_json(space.high, space.bounded_above, inf),
                "shape": list(space.shape),
                "dtype": space.dtype.name,
            }
        case spaces.Discrete():
            start, n = start_and_count(space)
            return {"type": "Discrete", "n": n, "start": start, "dtype": space.dtype.name}
        case spaces.MultiDiscrete():
            start, count = start_and_count(space)
            return {
                "type": "MultiDiscrete",
                "nvec": count.tolist(),
                "start": start.tolist(),
                "dtype": space.dtype.name,
            }
        case spaces.MultiBinary():
            return {"type": "MultiBinary", "n": space.n if isinstance(space.n, int) else list(space.shape)}
    raise TypeError(f"{space} cannot be saved as JSON")


def space_from_json(label: str, data: Any) -> Any:
    """The inverse of `space_to_json`; errors name the space by its label."""
    match data:
        case {"type": "Dict", "spaces": dict(children)} if len(data) == 2:
            return spaces.Dict({name: space_from_json(f"{label}/{name}", child) for name, child in children.items()})
        case {"type": "Tuple", "spaces": [*children]} if len(data) == 2:
            return spaces.Tuple([space_from_json(f"{label}/{index}", child) for index, child in enumerate(children)])
    try:
        space = _leaf_from_json(data)
    except (TypeError, ValueError, OverflowError, AssertionError) as error:
        raise InputError(f"The saved {label} space is invalid: {error}.") from error
    if space is None:
        raise InputError(f"The saved {label} space was not written by Reverie: {data!r}.")
    return space


def _leaf_from_json(data: Any) -> Any:
    match data:
        case {"type": "Box", "low": low, "high": high, "shape": [*shape], "dtype": str(name), **rest}:
            dtype = np.dtype(name)
            bounds = _bound_from_json(low, shape, dtype), _bound_from_json(high, shape, dtype)
            return None if rest else spaces.Box(*bounds, tuple(shape), dtype.type)
        case {"type": "Discrete", "n": int(n), "start": int(start), "dtype": str(name), **rest}:
            return None if rest else spaces.Discrete(n, start=start, dtype=np.dtype(name).type)
        case {"type": "MultiDiscrete", "nvec": [*nvec], "start": [*start], "dtype": str(name), **rest}:
            dtype = np.dtype(name)
            return None if rest else spaces.MultiDiscrete(_integers(nvec), dtype.type, start=_integers(start))
        case {"type": "MultiBinary", "n": int(n) | [*n], **rest}:
            return None if rest else spaces.MultiBinary(n)
        case {"type": "MultiBinary", "shape": [*n], **rest}:  # the format of earlier versions
            return None if rest else spaces.MultiBinary(n)
    return None


def _bound_to_json(bound: np.ndarray, bounded: np.ndarray | np.bool, infinity: float) -> Any:
    """One number if all entries are equal, otherwise a flat list; infinities as strings, since JSON has none.

    For integer spaces, only Gymnasium's `bounded_…` flags tell that they are unbounded.
    """
    values = [x if ok else infinity for x, ok in zip(bound.flat, bounded.flat, strict=True)]
    entries = [np.asarray(x).item() if np.isfinite(x) else str(float(x)) for x in values]
    return entries[0] if len(set(entries)) == 1 else entries


def _bound_from_json(data: Any, shape: list[int], dtype: np.dtype) -> Any:
    entries = data if isinstance(data, list) else [data]
    numbers = [float(x) if x in ("inf", "-inf") else x for x in entries]
    # Gymnasium expects an infinite bound of an integer space as a float.
    exact = dtype.kind == "f" or all(x not in (inf, -inf) for x in numbers)
    bound = np.array(numbers, dtype if exact else np.float64)
    if exact and bound.tolist() != numbers:
        raise TypeError(f"the bound {data!r} is not a value of {dtype.name}")
    if isinstance(data, list):
        return bound.reshape(shape)
    return np.full(shape, bound[0]) if exact else numbers[0]


def _integers(data: list[Any]) -> np.ndarray:
    array = np.array(data)
    if array.dtype.kind != "i":
        raise TypeError(f"expected integers, got {data!r}")
    return array
