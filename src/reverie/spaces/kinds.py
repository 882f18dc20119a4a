"""Which feature a Gymnasium space is, or the refusal that says what to do about it.

One function per kind of space; `label` names the space in errors.

May import: `features`; Gymnasium and NumPy.
"""

from typing import Any, NoReturn

import numpy as np
from gymnasium import spaces

from reverie.errors import InputError
from reverie.spaces.features import Continuous, Discrete, Feature, Image


class UnsupportedSpaceError(InputError):
    """An environment's space that Reverie cannot learn from or act in; the message says how to change it."""


def observation_feature(label: str, space: Any) -> Feature:
    """What an observed space that is no Dict is to the networks."""
    match space:
        case spaces.Box():
            return _box_feature(label, space)
        case spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            return Discrete(space.shape or (), int(np.max(start_and_count(space)[1])))
        case spaces.Text():
            _unsupported(label, space, "drop it or embed it with a wrapper")
        case spaces.Tuple():
            _unsupported(label, space, "make it a Dict with a wrapper")
    _unsupported(label, space, "supported are Box, Discrete, MultiDiscrete, MultiBinary and Dicts of them")


def _box_feature(label: str, space: spaces.Box) -> Image | Continuous:
    if 0 in space.shape:
        _unsupported(label, space, "it has no entries: drop it with gymnasium.wrappers.FilterObservation")
    if space.dtype == np.uint8 and len(space.shape) == 3:
        return _image_feature(label, space.shape)
    if space.dtype == np.uint8 and len(space.shape) == 2 and min(space.shape) >= 8:
        _unsupported(
            label,
            space,
            "an image needs a channel axis: use gymnasium.wrappers.ReshapeObservation to make it "
            f"{_times((*space.shape, 1))}, or GrayscaleObservation with keep_dim=True",
        )
    return Continuous(space.shape)


def _image_feature(label: str, shape: tuple[int, int, int]) -> Image:
    """The encoder halves both sides four times: evenly, the smaller one to 3 … 16 (section 3)."""
    height, width, channels = shape
    small = min(height, width)
    if channels > 4 and channels > small:
        _unsupported(
            label,
            _times(shape),
            "an image is height x width x channels: move the channels last with "
            "gymnasium.wrappers.TransformObservation",
        )
    if small < 8:
        _unsupported(
            label,
            _times(shape),
            "that is too small for an image: resize with gymnasium.wrappers.ResizeObservation, or, if these "
            "are no pixels, make them numbers with gymnasium.wrappers.DtypeObservation(env, np.float32)",
        )
    if height % 16 or width % 16 or not 3 <= small // 16 <= 16:
        _unsupported(
            label,
            _times(shape),
            "both sides of an image must be multiples of 16 and the smaller one from 48 to 256: "
            "resize with gymnasium.wrappers.ResizeObservation(env, (64, 64))",
        )
    return Image(shape)


def action_feature(label: str, space: Any) -> Continuous | Discrete:
    """What an action space that is no Dict is to the networks."""
    match space:
        case spaces.Box() if 0 in space.shape:
            _unsupported(label, space, "it has no entries: drop it with a wrapper")
        case spaces.Box():
            return Continuous(space.shape)
        case spaces.Discrete():
            return Discrete((), int(space.n))
    _unsupported(label, space, "supported are Box, Discrete and Dicts of them: convert it with a wrapper")


def _unsupported(label: str, got: Any, advice: str) -> NoReturn:
    raise UnsupportedSpaceError(f"{label} is {got}, which Reverie doesn't support: {advice}")


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def start_and_count(space: Any) -> tuple[Any, Any]:
    """The smallest value and the number of values of each entry of a space of integers."""
    match space:
        case spaces.Discrete():
            return int(space.start), int(space.n)
        case spaces.MultiDiscrete():
            return space.start.astype(np.int64), space.nvec.astype(np.int64)
    return 0, 2
