"""Conversion of observations to features and of the policy's actions to the environment's, one leaf at a time.

Arrays are (N, *shape), one row per environment; `label` names the leaf in errors.

May import: `features`, `kinds`; Gymnasium and NumPy.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from reverie.spaces.features import DTYPES, Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import pixel_order, start_and_count

LARGEST = float(np.finfo(np.float32).max)
FINITE = (
    "which cannot be learned from: return finite float32 numbers, or clip them with "
    "gymnasium.wrappers.TransformObservation"
)


def encode(label: str, space: Any, feature: Feature, value: np.ndarray) -> np.ndarray:
    """Convert a batch of the space's values to the feature. Always copies."""
    _check_shape(label, value, space.shape or ())
    return _ENCODE[type(feature)](label, space, value)


def decode(label: str, space: Any, feature: Feature, value: np.ndarray) -> np.ndarray:
    """Convert a batch of the policy's values for this feature to values of the space."""
    _check_shape(label, value, feature.shape)
    return _DECODE[type(feature)](label, space, value)


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


def _encode_image(label: str, space: spaces.Box, value: np.ndarray) -> np.ndarray:
    """Move channels and stacked frames to the last axis; round floats to the nearest of 256 levels."""
    if value.dtype.kind not in "fiu" or (space.dtype == np.uint8 and value.dtype != np.uint8):
        raise ValueError(f"{label} is {value.dtype}, but its space is {space.dtype}")
    if space.dtype.kind == "f":
        brightest = float(space.high.flat[0])
        step = brightest / 255  # tolerance: resizing and scaling may overshoot slightly by rounding
        within = (value >= -step) & (value <= brightest + step)
        _check_all(within, label, value, f"outside of its space's 0 … {brightest:g}")
        value = np.rint(np.clip(value, 0, brightest) / step)
    order = pixel_order(space)
    assert order is not None
    height, width = (space.shape[axis] for axis in order[:2])
    moved = value.transpose(0, *(axis + 1 for axis in order)).reshape(len(value), height, width, -1)
    return moved.astype(np.uint8, order="C", copy=True)


def _encode_numbers(label: str, space: spaces.Box, value: np.ndarray) -> np.ndarray:
    if value.dtype.kind not in "fiub":
        raise ValueError(f"{label} is {value.dtype}, expected numbers")
    with np.errstate(over="ignore"):  # an overflow becomes infinite and is reported next
        numbers = value.astype(np.float32)
    _check_all(np.isfinite(numbers), label, value, FINITE)
    return numbers


def _encode_classes(label: str, space: Any, value: np.ndarray) -> np.ndarray:
    start, count = start_and_count(space)
    if value.dtype.kind not in "iub":
        raise ValueError(f"{label} is {value.dtype}, expected integers")
    classes = value.astype(np.int64) - start
    _check_all((classes >= 0) & (classes < count), label, value, f"outside of its space {space}")
    return classes.astype(np.int32)


def _decode_numbers(label: str, space: spaces.Box, value: np.ndarray) -> np.ndarray:
    value = value.astype(np.float64)
    _check_all(np.isfinite(value), label, value, "which no environment can apply: has the policy diverged?")
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    unit = np.clip(value, -1, 1)
    with np.errstate(invalid="ignore"):  # 0 · inf, in entries that `where` discards
        mapped = np.where(both_bounds(space), (1 - unit) / 2 * low + (1 + unit) / 2 * high, value)
        if space.dtype.kind != "f":
            mapped = np.rint(mapped)
        cast = mapped.astype(space.dtype)  # entries beyond the bounds may overflow, and are replaced next
    return np.where(mapped >= high, space.high, np.where(mapped <= low, space.low, cast))


def both_bounds(space: spaces.Box) -> np.ndarray:
    """The entries with two finite bounds. Some environments use a float's largest value as infinity."""
    finite = np.asarray(space.bounded_below & space.bounded_above)
    if space.dtype.kind == "f":
        largest = np.finfo(space.dtype.name).max
        finite &= (np.abs(space.low) < largest) & (np.abs(space.high) < largest)
    return finite


def _decode_classes(label: str, space: Any, value: np.ndarray) -> np.ndarray:
    start, count = start_and_count(space)
    if value.dtype.kind not in "iu":
        raise ValueError(f"{label} is {value.dtype}, expected integers: class indices, not one-hot vectors")
    value = value.astype(np.int64)
    _check_all((value >= 0) & (value < count), label, value, f"outside of its classes 0 … {np.max(count) - 1}")
    return (value + start).astype(space.dtype)


_Convert = Callable[[str, Any, np.ndarray], np.ndarray]
_ENCODE: dict[type[Feature], _Convert] = {
    Image: _encode_image,
    Continuous: _encode_numbers,
    Discrete: _encode_classes,
}
_DECODE: dict[type[Feature], _Convert] = {Continuous: _decode_numbers, Discrete: _decode_classes}


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
