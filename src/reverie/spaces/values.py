"""Conversion of observations to features and of the policy's actions to the environment's, one leaf at a time.

Arrays are (N, *shape), one row per environment; `label` names the leaf in errors.

May import: `features`, `kinds`, `leaves`; Gymnasium and NumPy.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from reverie.spaces.features import DTYPES, Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import both_bounds, bounds, start_and_count
from reverie.spaces.leaves import Leaf

LARGEST = float(np.finfo(np.float32).max)
FINITE = (
    "which cannot be learned from: return finite float32 numbers, or clip them with "
    "gymnasium.wrappers.TransformObservation"
)


def as_array(label: str, value: Any) -> np.ndarray:
    """The value as a NumPy array; tensors of other packages are copied from their device.

    Raises:
        ValueError: the value cannot be converted.
    """
    if isinstance(value, np.ndarray | np.generic | int | float):
        return np.asarray(value)
    try:
        array = _from_tensor(value)
    except Exception as error:  # every package has its own
        raise ValueError(f"{label} is a {_kind(value)}, which NumPy cannot convert ({error}): {TO_NUMPY}") from error
    if array.dtype == object:
        raise ValueError(f"{label} is a {_kind(value)}, which is not an array of numbers: {TO_NUMPY}")
    return array


TO_NUMPY = "return a NumPy array"


def _from_tensor(value: Any) -> np.ndarray:
    for method in ("detach", "cpu"):  # PyTorch: without gradients, on the host
        value = getattr(value, method)() if callable(getattr(value, method, None)) else value
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):  # CuPy
        value = value.get()
    only_dlpack = hasattr(value, "__dlpack__") and not hasattr(value, "__array__")
    return np.from_dlpack(value) if only_dlpack else np.asarray(value)


def _kind(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}".removeprefix("builtins.")


def encode(label: str, leaf: Leaf, value: np.ndarray) -> np.ndarray:
    """Convert a batch of the leaf's values to its feature. Always copies."""
    _check_shape(label, value, leaf.space.shape or ())
    match leaf.feature:
        case Image():
            return _encode_image(label, leaf, value)
        case Continuous():
            return _encode_numbers(label, value)
    if isinstance(leaf.space, spaces.Box):
        return _encode_mask(label, value)
    return _encode_classes(label, leaf.space, value)


def decode(label: str, leaf: Leaf, value: np.ndarray) -> np.ndarray:
    """Convert a batch of the policy's values for this leaf to values of its space."""
    _check_shape(label, value, leaf.feature.shape)
    convert = _decode_classes if isinstance(leaf.feature, Discrete) else _decode_numbers
    return convert(label, leaf.space, value)


def encode_action(label: str, leaf: Leaf, value: np.ndarray) -> np.ndarray:
    """Convert a batch of the leaf's actions to the policy's values: the inverse of `decode`."""
    _check_shape(label, value, leaf.space.shape or ())
    convert = _encode_classes if isinstance(leaf.feature, Discrete) else _normalize_numbers
    return convert(label, leaf.space, value)


def decode_observation(label: str, leaf: Leaf, value: np.ndarray) -> np.ndarray:
    """Convert a batch of a feature's values to values of the leaf's space: the inverse of `encode`.

    Numbers are clipped to the space's bounds and rounded if the space has integers.
    """
    _check_shape(label, value, leaf.feature.shape)
    match leaf.feature:
        case Image():
            return _decode_image(leaf, value)
        case Continuous():
            _check_all(np.isfinite(value), label, value, "which is not finite: has the world model diverged?")
            return _within_bounds(leaf.space, value.astype(np.float64))
    return _decode_classes(label, leaf.space, value)


def first_infinite(value: np.ndarray) -> str | None:
    """A complaint about the first number that is not finite as float32, with a fix; None if all are finite."""
    if value.dtype.kind != "f" or float(np.abs(value).max(initial=0)) <= LARGEST:  # False for NaN
        return None
    finite = np.abs(value.astype(np.float64)) <= LARGEST
    index = tuple(int(i) for i in np.argwhere(~finite)[0])
    return f"is {value[index]} at index {index}, {FINITE}"


def zeros(features: Mapping[str, Feature], n: int) -> dict[str, np.ndarray]:
    """Zeros in the shapes and dtypes of the features, key → (n, *shape)."""
    return {key: np.zeros((n, *feature.shape), DTYPES[type(feature)]) for key, feature in features.items()}


def check_same_length(what: str, values: Mapping[str, np.ndarray]) -> None:
    """Check that the arrays of all keys have the same number of rows."""
    if len({len(value) for value in values.values()}) > 1:
        lengths = {key: len(value) for key, value in values.items()}
        raise ValueError(f"the {what}'s keys differ in their number of rows: {lengths}")


def _encode_image(label: str, leaf: Leaf, value: np.ndarray) -> np.ndarray:
    """Move channels and stacked frames to the last axis; scale from the bounds to the nearest of 256 levels."""
    space = leaf.space
    if value.dtype.kind not in "fiub" or (space.dtype == np.uint8 and value.dtype != np.uint8):
        raise ValueError(f"{label} is {value.dtype}, but its space is {space.dtype}")
    if leaf.scale is not None:
        low, step = (one.astype(np.float32) for one in leaf.scale)
        levels = (value.astype(np.float32) - low) / step
        within = (levels >= -1) & (levels <= 256)  # resizing and scaling may overshoot slightly by rounding
        _check_all(within, label, value, f"outside of its space's {space.low.min():g} … {space.high.max():g}")
        value = np.rint(np.clip(levels, 0, 255))
    height, width = (space.shape[axis] for axis in leaf.order[:2])
    moved = value.transpose(0, *(axis + 1 for axis in leaf.order)).reshape(len(value), height, width, -1)
    return moved.astype(np.uint8, order="C", copy=True)


def _decode_image(leaf: Leaf, value: np.ndarray) -> np.ndarray:
    """Move the last axis back to where the space has channels and stacked frames, and undo the scale."""
    shape = leaf.space.shape
    moved = value.reshape(len(value), *(shape[axis] for axis in leaf.order))
    image = moved.transpose(0, *(1 + np.argsort(leaf.order)))
    if leaf.scale is None:
        return image.astype(leaf.space.dtype)
    low, step = leaf.scale
    return _within_bounds(leaf.space, low + step * image.astype(np.float64))


def _encode_numbers(label: str, value: np.ndarray) -> np.ndarray:
    if value.dtype.kind not in "fiub":
        raise ValueError(f"{label} is {value.dtype}, expected numbers")
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is reported next
        numbers = value.astype(np.float32)
    _check_all(np.isfinite(numbers), label, value, FINITE)
    return numbers


def _normalize_numbers(label: str, space: spaces.Box, value: np.ndarray) -> np.ndarray:
    """Map numbers linearly from their two finite bounds to [-1, 1]; others stay as they are."""
    numbers = _encode_numbers(label, value)
    low, high = bounds(space)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite bounds, in entries that `where` discards
        unit = 2 * (value.astype(np.float64) - low) / np.where(high > low, high - low, 1) - 1
    return np.where(both_bounds(space), np.clip(unit, -1, 1), numbers).astype(np.float32)


def _encode_classes(label: str, space: Any, value: np.ndarray) -> np.ndarray:
    start, count = start_and_count(space)
    if value.dtype.kind not in "iub":
        raise ValueError(f"{label} is {value.dtype}, expected integers")
    classes = value.astype(np.int64) - start
    _check_all((classes >= 0) & (classes < count), label, value, f"outside of its space {space}")
    return classes.astype(np.int32)


def _encode_mask(label: str, value: np.ndarray) -> np.ndarray:
    _check_all((value == 0) | (value == 1), label, value, "expected 0 or 1")
    return value.astype(np.int32)


def _decode_numbers(label: str, space: spaces.Box, value: np.ndarray) -> np.ndarray:
    value = value.astype(np.float64)
    _check_all(np.isfinite(value), label, value, "which no environment can apply: has the policy diverged?")
    low, high = bounds(space)
    unit = np.clip(value, -1, 1)
    with np.errstate(invalid="ignore"):  # 0 · inf, in entries that `where` discards
        mapped = np.where(both_bounds(space), (1 - unit) / 2 * low + (1 + unit) / 2 * high, value)
    return _within_bounds(space, mapped)


def _within_bounds(space: spaces.Box, value: np.ndarray) -> np.ndarray:
    """float64 numbers as numbers of the space: rounded if it has integers, and clipped to its bounds."""
    low, high = bounds(space)
    if space.dtype.kind != "f":
        value = np.rint(value)
    with np.errstate(invalid="ignore", over="ignore"):
        cast = value.astype(space.dtype)  # entries beyond the bounds may overflow, and are replaced next
    return np.where(value >= high, space.high, np.where(value <= low, space.low, cast))


def _decode_classes(label: str, space: Any, value: np.ndarray) -> np.ndarray:
    start, count = start_and_count(space)
    if value.dtype.kind not in "iu":
        raise ValueError(f"{label} is {value.dtype}, expected integers: class indices, not one-hot vectors")
    value = value.astype(np.int64)
    _check_all((value >= 0) & (value < count), label, value, f"outside of its classes 0 … {np.max(count) - 1}")
    return (value + start).astype(space.dtype)


def _check_shape(label: str, value: np.ndarray, shape: tuple[int, ...]) -> None:
    if value.ndim == 0 or value.shape[1:] != shape:
        expected = ", ".join(map(str, ("N", *shape)))
        raise ValueError(f"{label} has shape {value.shape}, expected ({expected}) with one row per environment")


def _check_all(good: np.ndarray, label: str, value: np.ndarray, complaint: str) -> None:
    """Report the first entry that is not good."""
    if not good.all():
        row, *index = map(int, np.argwhere(~good)[0])
        place = f" at index {tuple(index)}" if index else ""
        raise ValueError(f"{label} of environment {row} is {value[(row, *index)]}{place}, {complaint}")
