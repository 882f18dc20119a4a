"""The feature for each kind of Gymnasium space, or an error that says how to change the space.

`label` names the space in errors.

May import: `features`; Gymnasium and NumPy.
"""

from math import prod
from typing import Any, NoReturn

import numpy as np
from gymnasium import spaces

from reverie.errors import InputError
from reverie.spaces.features import Continuous, Discrete, Feature, Image

SMALLEST_IMAGE, LARGEST_IMAGE = 8, 256  # pixels of the shorter side
SUPPORTED = "supported are Box, Discrete, MultiDiscrete, MultiBinary, and Dicts and Tuples of them"


class UnsupportedSpaceError(InputError):
    """A space that Reverie does not support; the message says how to change it."""


def observation_feature(label: str, space: Any) -> Feature:
    """The feature for an observation space other than a Dict or Tuple."""
    _check_entries(label, space)
    match space:
        case spaces.Box():
            return _box_feature(label, space)
        case spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            return Discrete(space.shape or (), int(np.max(start_and_count(space)[1])))
        case spaces.Text():
            _unsupported(
                label,
                space,
                "remove it with gymnasium.wrappers.FilterObservation or --env.keys, or embed it with a wrapper",
            )
    _unsupported(label, space, SUPPORTED)


def _box_feature(label: str, space: spaces.Box) -> Image | Continuous:
    order = pixel_order(space)
    if order is None:
        if space.dtype == np.uint8 and len(space.shape) == 4 and min(space.shape[:2]) >= SMALLEST_IMAGE:
            _unsupported(label, _times(space.shape), "for stacked frames, the stack must be the first axis")
        return Continuous(space.shape)
    height, width, *channels = (space.shape[axis] for axis in order)
    if min(height, width) > LARGEST_IMAGE:
        _unsupported(
            label,
            _times(space.shape),
            f"both sides of the image are longer than {LARGEST_IMAGE} pixels: resize it with "
            "gymnasium.wrappers.ResizeObservation(env, (64, 64))",
        )
    return Image((height, width, prod(channels)))


def pixel_order(space: spaces.Box) -> tuple[int, ...] | None:
    """The axes of an image in the order height, width, frames, channels; None if the space is not an image.

    Images have 2 to 4 axes and at least 8 × 8 pixels. They are uint8, or floats from 0 to 1 or from 0 to 255 with at
    most four channels. Channels are last or first: next to two equal sides; otherwise last, unless that axis is longer
    than four and than the first one. Four axes are stacked frames.
    """
    if not 2 <= len(space.shape) <= 4 or not _holds_pixels(space):
        return None
    frames = (0,) if len(space.shape) == 4 else ()
    inner = tuple(range(len(frames), len(space.shape)))
    if len(inner) == 2:
        order: tuple[int, ...] = inner
    else:
        order = inner if _channels_last(*(space.shape[axis] for axis in inner)) else (inner[1], inner[2], inner[0])
        if space.dtype.kind == "f" and space.shape[order[2]] > 4:
            return None
    if min(space.shape[order[0]], space.shape[order[1]]) < SMALLEST_IMAGE:
        return None
    return (*order[:2], *frames, *order[2:])


def _channels_last(first: int, middle: int, last: int) -> bool:
    """Decided by the one pair of equal sides if there is exactly one, otherwise by lengths; see `pixel_order`."""
    if (first == middle) != (middle == last):
        return first == middle
    return last <= 4 or last <= first


def _holds_pixels(space: spaces.Box) -> bool:
    """Whether the values could be pixels; floats only with the bounds of an image and a channel axis."""
    if space.dtype == np.uint8:
        return True
    bounds = (space.low.min(), space.low.max(), space.high.min(), space.high.max())
    return space.dtype.kind == "f" and len(space.shape) >= 3 and bounds in ((0, 0, 1, 1), (0, 0, 255, 255))


def action_feature(label: str, space: Any) -> Continuous | Discrete:
    """The feature for an action space other than a Dict or Tuple."""
    _check_entries(label, space)
    match space:
        case spaces.Box():
            return Continuous(space.shape)
        case spaces.Discrete() | spaces.MultiBinary():
            return Discrete(space.shape or (), int(start_and_count(space)[1]))
        case spaces.MultiDiscrete():
            counts = tuple(space.nvec.ravel().tolist())
            return Discrete(space.shape, max(counts), counts if len(set(counts)) > 1 else None)
    _unsupported(label, space, f"{SUPPORTED}; convert it with a wrapper")


def _check_entries(label: str, space: Any) -> None:
    if 0 in (getattr(space, "shape", None) or ()):
        _unsupported(label, space, "it has no entries: remove it with a wrapper, or an observation with --env.keys")


def _unsupported(label: str, got: Any, advice: str) -> NoReturn:
    raise UnsupportedSpaceError(f"{label} is {got}, which Reverie does not support: {advice}")


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def start_and_count(space: Any) -> tuple[Any, Any]:
    """The smallest value and the number of values of each entry of a discrete space."""
    match space:
        case spaces.Discrete():
            return int(space.start), int(space.n)
        case spaces.MultiDiscrete():
            return space.start.astype(np.int64), space.nvec.astype(np.int64)
    return 0, 2
