"""Validation of actions from outside, in the form that the model takes. May import: `errors`, `spaces`; NumPy."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reverie.errors import InputError
from reverie.spaces import Continuous, Discrete


def checked_action(features: Mapping[str, Continuous | Discrete], action: Any) -> dict[str, np.ndarray]:
    """The action by key: float32 numbers, or int32 classes from 0, in the features' shapes.

    Raises:
        InputError: the keys or shapes differ, a class does not exist, or a number is not finite.
    """
    if not isinstance(action, Mapping) or set(action) != set(features):
        got = sorted(map(str, action)) if isinstance(action, Mapping) else action
        raise InputError(f"An action must have the entries {sorted(features)}, got {got}.")
    return {name: _entry(name, feature, action[name]) for name, feature in features.items()}


def _entry(name: str, feature: Continuous | Discrete, value: Any) -> np.ndarray:
    classes = isinstance(feature, Discrete)
    try:
        array = np.asarray(value)
        fits = array.shape == feature.shape and array.dtype.kind in ("iu" if classes else "iuf")
    except ValueError:
        fits = False
    if not fits:
        kind = "integers" if classes else "numbers"
        raise InputError(f"The action {name!r} must be {kind} of shape {feature.shape}, got {value!r}.")
    if isinstance(feature, Discrete):
        counts = np.reshape(feature.counts, feature.shape) if feature.counts else feature.classes
        if np.any((array < 0) | (array >= counts)):
            raise InputError(f"The action {name!r} must be in 0 to {feature.classes - 1}, got {value!r}.")
        return array.astype(np.int32)
    if not np.all(np.isfinite(array)):
        raise InputError(f"The action {name!r} must be finite, got {value!r}.")
    return array.astype(np.float32)
