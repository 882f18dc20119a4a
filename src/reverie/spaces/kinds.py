"""The feature for each kind of Gymnasium space, or an error that says how to change the space.

`label` names the space in errors.

May import: `features`; Gymnasium and NumPy.
"""

from math import prod
from typing import Any, Literal, NoReturn

import numpy as np
from gymnasium import spaces

from reverie.errors import InputError
from reverie.spaces.features import Continuous, Discrete, Feature, Image

SMALLEST_IMAGE, LARGEST_IMAGE = 8, 256  # pixels of the shorter side
MOST_CHANNELS = 4  # of images that are not uint8
WIDEST_RANGE = 65_535  # between the bounds of images: more than 256 levels could resolve
MOST_CLASSES, MANY_CLASSES = 65_536, 4_096  # inputs or outputs of a one-hot code: refused above, mentioned above
Guess = Literal["image", "vector"] | None  # what a Box is, if a setting says so
SUPPORTED = "supported are Box, Discrete, MultiDiscrete, MultiBinary, and Dicts and Tuples of them"


class UnsupportedSpaceError(InputError):
    """A space that Reverie does not support; the message says how to change it."""


def observation_feature(label: str, space: Any, guess: Guess = None) -> Feature:
    """The feature for an observation space other than a Dict or Tuple; `guess` decides what a Box is."""
    _check_entries(label, space)
    match space:
        case spaces.Box():
            return _box_feature(label, space, guess)
        case spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            feature = Discrete(space.shape or (), int(np.max(start_and_count(space)[1])))
            _check_classes(label, space, feature)
            return feature
        case spaces.Text():
            _unsupported(
                label,
                space,
                "remove it with gymnasium.wrappers.FilterObservation or --env.keys, or embed it with a wrapper",
            )
    _unsupported(label, space, SUPPORTED)


def _box_feature(label: str, space: spaces.Box, guess: Guess) -> Image | Continuous:
    order = pixel_order(space, guess)
    if order is None:
        if guess == "image":
            _unsupported(label, space, "env.image_keys selects it, but images have 2 to 4 axes and finite bounds")
        stacked_last = len(space.shape) == 4 and min(space.shape[:2]) >= SMALLEST_IMAGE
        if guess is None and space.dtype == np.uint8 and stacked_last:
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


def pixel_order(space: spaces.Box, guess: Guess = None) -> tuple[int, ...] | None:
    """The axes of an image in the order height, width, frames, channels; None if the space is not an image.

    Images have 2 to 4 axes, finite bounds at most 65,535 apart and at least 8 × 8 pixels. Those that are not uint8 have
    a channel axis and at most four channels. Channels are last or first: next to two equal sides; otherwise last,
    unless that axis is longer than four and than the first one. Four axes are stacked frames.

    Args:
        space: of the observation.
        guess: "image": whatever has 2 to 4 axes and finite bounds is an image; "vector": nothing is.
    """
    if guess == "vector" or not 2 <= len(space.shape) <= 4 or not _has_pixel_bounds(space):
        return None
    strict = guess is None
    if strict and space.dtype != np.uint8 and (len(space.shape) == 2 or np.ptp(bounds(space)) > WIDEST_RANGE):
        return None
    frames = (0,) if len(space.shape) == 4 else ()
    inner = tuple(range(len(frames), len(space.shape)))
    if len(inner) == 2:
        order: tuple[int, ...] = inner
    else:
        order = inner if _channels_last(*(space.shape[axis] for axis in inner)) else (inner[1], inner[2], inner[0])
        if strict and space.dtype != np.uint8 and space.shape[order[2]] > MOST_CHANNELS:
            return None
    if strict and min(space.shape[order[0]], space.shape[order[1]]) < SMALLEST_IMAGE:
        return None
    return (*order[:2], *frames, *order[2:])


def _channels_last(first: int, middle: int, last: int) -> bool:
    """Decided by the one pair of equal sides if there is exactly one, otherwise by lengths; see `pixel_order`."""
    if (first == middle) != (middle == last):
        return first == middle
    return last <= 4 or last <= first


def _has_pixel_bounds(space: spaces.Box) -> bool:
    """Whether all entries have two finite bounds, and some of them differ."""
    if not both_bounds(space).all():
        return False
    low, high = bounds(space)
    return bool((high > low).any())


def bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """The bounds as float64."""
    return space.low.astype(np.float64), space.high.astype(np.float64)


def both_bounds(space: spaces.Box) -> np.ndarray:
    """The entries with two finite bounds. Some environments use a float's largest value as infinity."""
    finite = np.asarray(space.bounded_below & space.bounded_above)
    if space.dtype.kind == "f":
        largest = np.finfo(space.dtype.name).max
        finite &= (np.abs(space.low) < largest) & (np.abs(space.high) < largest)
    return finite


def caution(key: str, space: Any, feature: Feature, guess: Guess = None) -> str | None:
    """A sentence about an observation that may not have become what its author expects; none if `guess` decided it."""
    match feature:
        case Continuous() if (
            guess is None and len(space.shape) >= 2 and min(sorted(space.shape)[-2:]) >= SMALLEST_IMAGE
        ):
            return (
                f"observation {key!r} ({_times(space.shape)}, {space.dtype}) is read as {prod(space.shape):,} separate "
                "numbers, not as an image: if it is one, give it finite bounds and select it with env.image_keys."
            )
        case Discrete() if prod(feature.shape) * feature.classes > MANY_CLASSES:
            inputs = prod(feature.shape) * feature.classes
            return (
                f"observation {key!r} is one-hot coded with {inputs:,} entries, each with weights of its own: if these "
                "classes are ordered, a Box of numbers costs less."
            )
    return None


def action_feature(label: str, space: Any) -> Continuous | Discrete:
    """The feature for an action space other than a Dict or Tuple."""
    _check_entries(label, space)
    match space:
        case spaces.Box():
            return Continuous(space.shape)
        case spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            counts = tuple(space.nvec.ravel().tolist()) if isinstance(space, spaces.MultiDiscrete) else ()
            most = int(np.max(start_and_count(space)[1]))
            feature = Discrete(space.shape or (), most, counts if len(set(counts)) > 1 else None)
            _check_classes(label, space, feature)
            return feature
    _unsupported(label, space, f"{SUPPORTED}; convert it with a wrapper")


def _check_entries(label: str, space: Any) -> None:
    if 0 in (getattr(space, "shape", None) or ()):
        _unsupported(label, space, "it has no entries: remove it with a wrapper, or an observation with --env.keys")


def _check_classes(label: str, space: Any, feature: Discrete) -> None:
    entries = prod(feature.shape) * feature.classes
    if entries > MOST_CLASSES:
        _unsupported(
            label,
            space,
            f"its one-hot code would have {entries:,} entries, each with weights of its own in every layer that reads "
            f"or predicts it, and at most {MOST_CLASSES:,} are allowed: with a wrapper, split it into a MultiDiscrete "
            "of its digits or, if the classes are ordered, make it a Box of numbers",
        )


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
