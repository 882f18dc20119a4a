"""What the networks need to know of Gymnasium spaces: keys, shapes, kinds, and the way there and back.

Algorithm.md section 1 says what an observation and an action are to the model. Here alone stands how an
environment's own values become that (`Spaces.encode_observation`) and how the policy's become the
environment's (`Spaces.decode_action`).

May import: nothing of Reverie; Gymnasium and NumPy. To support one more kind of space, add a case to
`_observation_feature` or `_action_feature`, and to `_space_to_json` and `_space_from_json`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium import spaces


@dataclass(frozen=True)
class Image:
    """A uint8 image, shape (height, width, channels)."""

    shape: tuple[int, int, int]


@dataclass(frozen=True)
class Continuous:
    """Real numbers of any shape, () for a scalar. As an action: one number in [-1, 1] per entry."""

    shape: tuple[int, ...]


@dataclass(frozen=True)
class Discrete:
    """Integers 0 … classes-1, one per entry of the shape, () for a single one."""

    shape: tuple[int, ...]
    classes: int


Feature = Image | Continuous | Discrete

DTYPES = {Image: np.uint8, Continuous: np.float32, Discrete: np.int32}  # of a feature's arrays


class UnsupportedSpaceError(ValueError):
    """An environment's space that Reverie cannot learn from or act in; the message says how to change it."""


@dataclass(frozen=True)
class _Leaf:
    """A space that is no Dict, and the keys that lead to it: () where the whole space is no Dict."""

    path: tuple[str, ...]
    space: Any
    feature: Feature

    def pick(self, tree: Any) -> Any:
        for name in self.path:
            if not isinstance(tree, Mapping) or name not in tree:
                raise ValueError(f"the observation lacks {'/'.join(self.path)!r}, which its space promises")
            tree = tree[name]
        return tree


@dataclass(frozen=True)
class Spaces:
    """The translation between an environment's Gymnasium spaces and what the networks see.

    Keys of nested Dicts are joined with "/". A bare observation is called "image", "vector" (numbers) or
    "discrete" after its kind, a bare action "action".

    Raises:
        UnsupportedSpaceError: where a space is none of Box, Discrete, MultiDiscrete, MultiBinary or a Dict of
            them (as actions: Box, Discrete or a Dict of them), or is an image that the encoder cannot take.
    """

    observation_space: gym.Space[Any]
    """The environment's own, of a single environment."""
    action_space: gym.Space[Any]
    observation: Mapping[str, Feature] = field(init=False, compare=False)
    """What the networks see, by key, in sorted order."""
    action: Mapping[str, Continuous | Discrete] = field(init=False, compare=False)
    _observation_leaves: Mapping[str, _Leaf] = field(init=False, compare=False, repr=False)
    _action_leaves: Mapping[str, _Leaf] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        observed = _leaves("observation", self.observation_space, _observation_feature)
        acted = _leaves("action", self.action_space, _action_feature)
        derived = {
            "_observation_leaves": observed,
            "_action_leaves": acted,
            "observation": {key: leaf.feature for key, leaf in observed.items()},
            "action": {key: leaf.feature for key, leaf in acted.items()},
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen

    @classmethod
    def from_env(cls, env: gym.Env[Any, Any]) -> Spaces:
        """The spaces of an environment."""
        return cls(env.observation_space, env.action_space)

    def check_observation(self, observation: Any) -> None:
        """Compare one unbatched observation with its space, before batching hides what is wrong with it.

        Raises:
            ValueError: a key is missing, or a shape or a dtype differs from the space's.
        """
        for key, leaf in self._observation_leaves.items():
            value = np.asarray(leaf.pick(observation))
            if value.shape != leaf.space.shape:
                raise ValueError(f"observation {key!r} has shape {value.shape}, but its space says {leaf.space.shape}")
            if value.dtype != leaf.space.dtype and not np.can_cast(value.dtype, leaf.space.dtype, "same_kind"):
                raise ValueError(f"observation {key!r} is {value.dtype}, but its space says {leaf.space.dtype}")

    def is_single(self, observation: Any) -> bool:
        """Whether this is the observation of one environment, without a leading axis."""
        leaf = next(iter(self._observation_leaves.values()))
        return np.ndim(leaf.pick(observation)) == len(leaf.space.shape or ())

    def encode_observation(self, observation: Any) -> dict[str, np.ndarray]:
        """A batch of Gymnasium observations, as the networks see it.

        Args:
            observation: as vector environments return it: structured like the space, with a leading axis N.

        Returns:
            key → (N, *shape), uint8 for images, float32 for numbers, int32 from 0 for classes. Always copies.

        Raises:
            ValueError: a missing key, another shape, NaN or infinity, a class out of range.
        """
        encoded = {}
        for key, leaf in self._observation_leaves.items():
            value = np.asarray(leaf.pick(observation))
            label = f"observation {key!r}"
            _check_shape(label, value, leaf.feature)
            encoded[key] = _ENCODE[type(leaf.feature)](label, leaf.space, value)
        _check_same_length("observation", encoded)
        return encoded

    def decode_action(self, action: Mapping[str, Any]) -> Any:
        """A batch of the policy's actions, as the environments take it.

        Numbers are mapped linearly from [-1, 1] to the bounds where both are finite, pass unscaled where one
        is not, and are clipped to whatever bound there is; integer spaces round them. Classes get the space's
        start added.

        Args:
            action: key → (N, *shape) real numbers, or integers from 0 for classes.

        Returns:
            Arrays with a leading axis N in the structure of the action space: what a vector environment's
            step takes.

        Raises:
            ValueError: other keys or another shape than the space's, NaN or infinity, a class out of range.
        """
        if set(action) != set(self._action_leaves):
            raise ValueError(f"the action has the keys {sorted(action)}, expected {sorted(self._action_leaves)}")
        decoded: dict[str, np.ndarray] = {}
        for key, leaf in self._action_leaves.items():
            value = np.asarray(action[key])
            label = f"action {key!r}"
            _check_shape(label, value, leaf.feature)
            decoded[key] = _DECODE[type(leaf.feature)](label, leaf.space, value)
        _check_same_length("action", decoded)
        return _nest({leaf.path: decoded[key] for key, leaf in self._action_leaves.items()})

    def zero_observation(self, n: int) -> dict[str, np.ndarray]:
        """Zeros in the shapes of `encode_observation`, key → (n, *shape)."""
        return _zeros(self.observation, n)

    def zeros_action(self, n: int) -> dict[str, np.ndarray]:
        """Zeros in the shapes that `decode_action` takes, key → (n, *shape): the action of a last step."""
        return _zeros(self.action, n)

    def to_json(self) -> dict[str, Any]:
        """Both spaces in JSON's types, so that an agent can be loaded where its environment is not."""
        return {
            "observation": _space_to_json(self.observation_space),
            "action": _space_to_json(self.action_space),
        }

    @classmethod
    def from_json(cls, data: Any) -> Spaces:
        """The inverse of `to_json`.

        Raises:
            ValueError: anything that `to_json` doesn't write.
        """
        match data:
            case {"observation": observation, "action": action} if len(data) == 2:
                return cls(_space_from_json("observation", observation), _space_from_json("action", action))
        raise ValueError(f"saved spaces are an object of 'observation' and 'action', got {data!r}")


# Which feature a space is. One function per kind; `label` names the space in errors.


def _leaves(what: str, space: gym.Space[Any], feature: Callable[[str, Any], Feature]) -> dict[str, _Leaf]:
    """The leaves of a space by their joined keys, sorted."""
    found: dict[str, _Leaf] = {}
    for path, leaf in _walk(what, space, ()):
        key = "/".join(path)
        if key in found:
            raise UnsupportedSpaceError(f"two {what} spaces are called {key!r}: rename one with a wrapper")
        found[key] = _Leaf(path, leaf, feature(f"{what} {key!r}" if path else f"the {what}", leaf))
    if "" in found:
        bare = {Image: "image", Continuous: "vector", Discrete: "discrete"}[type(found[""].feature)]
        return {bare if what == "observation" else what: found[""]}
    return dict(sorted(found.items()))


def _walk(what: str, space: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if not isinstance(space, spaces.Dict):
        yield path, space
        return
    if not space.spaces:
        raise UnsupportedSpaceError(f"{what} {'/'.join(path)!r} is an empty Dict: give it an entry or drop it")
    for name, child in space.spaces.items():
        if not isinstance(name, str) or not name:
            raise UnsupportedSpaceError(
                f"{what} spaces must have names, got the key {name!r}: rename it with a wrapper"
            )
        yield from _walk(what, child, (*path, name))


def _observation_feature(label: str, space: Any) -> Feature:
    match space:
        case spaces.Box():
            return _box_feature(label, space)
        case spaces.Discrete() | spaces.MultiDiscrete() | spaces.MultiBinary():
            return Discrete(space.shape or (), int(np.max(_start_and_count(space)[1])))
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


def _action_feature(label: str, space: Any) -> Continuous | Discrete:
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


def _start_and_count(space: Any) -> tuple[Any, Any]:
    """The smallest value and the number of values of each entry of a space of integers."""
    match space:
        case spaces.Discrete():
            return int(space.start), int(space.n)
        case spaces.MultiDiscrete():
            return space.start.astype(np.int64), space.nvec.astype(np.int64)
    return 0, 2


# Values: there and back. Arrays are (N, *shape).


def _encode_image(label: str, space: spaces.Box, value: np.ndarray) -> np.ndarray:
    if value.dtype != np.uint8:
        raise ValueError(f"{label} is {value.dtype}, expected uint8: pixels from 0 to 255")
    return value.copy()


def _encode_numbers(label: str, space: spaces.Box, value: np.ndarray) -> np.ndarray:
    if value.dtype.kind not in "fiub":
        raise ValueError(f"{label} is {value.dtype}, expected numbers")
    with np.errstate(over="ignore"):  # what float32 can't hold becomes infinite and is reported next
        numbers = value.astype(np.float32)
    advice = "make the environment return finite float32 numbers, or clip with TransformObservation"
    _check_all(np.isfinite(numbers), label, value, f"which can't be learned from: {advice}")
    return numbers


def _encode_classes(label: str, space: Any, value: np.ndarray) -> np.ndarray:
    start, count = _start_and_count(space)
    if value.dtype.kind not in "iub":
        raise ValueError(f"{label} is {value.dtype}, expected integers")
    classes = value.astype(np.int64) - start
    _check_all((classes >= 0) & (classes < count), label, value, f"outside of its space {space}")
    return classes.astype(np.int32)


def _decode_numbers(label: str, space: spaces.Box, value: np.ndarray) -> np.ndarray:
    value = value.astype(np.float64)
    _check_all(np.isfinite(value), label, value, "which no environment can execute: has the policy diverged?")
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    unit = np.clip(value, -1, 1)
    with np.errstate(invalid="ignore"):  # 0 · inf, in entries that aren't taken
        mapped = np.where(_finite(space), (1 - unit) / 2 * low + (1 + unit) / 2 * high, value)
        if space.dtype.kind != "f":
            mapped = np.rint(mapped)
        cast = mapped.astype(space.dtype)  # entries beyond the bounds may overflow; they are replaced next
    return np.where(mapped >= high, space.high, np.where(mapped <= low, space.low, cast))


def _finite(space: spaces.Box) -> np.ndarray:
    """Which entries have two finite bounds. A float's largest value is how some environments say infinity."""
    finite = np.asarray(space.bounded_below & space.bounded_above)
    if space.dtype.kind == "f":
        largest = np.finfo(space.dtype.name).max
        finite &= (np.abs(space.low) < largest) & (np.abs(space.high) < largest)
    return finite


def _decode_classes(label: str, space: spaces.Discrete, value: np.ndarray) -> np.ndarray:
    start, count = _start_and_count(space)
    if value.dtype.kind not in "iu":
        raise ValueError(f"{label} is {value.dtype}, expected integers: classes, not one-hot vectors")
    value = value.astype(np.int64)
    _check_all((value >= 0) & (value < count), label, value, f"outside of its classes 0 … {count - 1}")
    return (value + start).astype(space.dtype)


_Convert = Callable[[str, Any, np.ndarray], np.ndarray]
_ENCODE: dict[type[Feature], _Convert] = {
    Image: _encode_image,
    Continuous: _encode_numbers,
    Discrete: _encode_classes,
}
_DECODE: dict[type[Feature], _Convert] = {Continuous: _decode_numbers, Discrete: _decode_classes}


def _check_shape(label: str, value: np.ndarray, feature: Feature) -> None:
    if value.ndim == 0 or value.shape[1:] != feature.shape:
        expected = ", ".join(map(str, ("N", *feature.shape)))
        raise ValueError(f"{label} has shape {value.shape}, expected ({expected}) with one row per environment")


def _check_same_length(what: str, values: Mapping[str, np.ndarray]) -> None:
    if len({len(value) for value in values.values()}) > 1:
        lengths = {key: len(value) for key, value in values.items()}
        raise ValueError(f"the {what}'s keys differ in their number of rows: {lengths}")


def _check_all(good: np.ndarray, label: str, value: np.ndarray, complaint: str) -> None:
    """Report the first entry that isn't good."""
    if not good.all():
        row, *index = map(int, np.argwhere(~good)[0])
        place = f" at index {tuple(index)}" if index else ""
        raise ValueError(f"{label} of environment {row} is {value[(row, *index)]}{place}, {complaint}")


def _zeros(features: Mapping[str, Feature], n: int) -> dict[str, np.ndarray]:
    return {key: np.zeros((n, *feature.shape), DTYPES[type(feature)]) for key, feature in features.items()}


def _nest(leaves: Mapping[tuple[str, ...], np.ndarray]) -> Any:
    """The nested dicts that paths speak of; the value itself for the path ()."""
    tree: dict[str, Any] = {}
    for path, value in leaves.items():
        if not path:
            return value
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return tree


# Spaces as JSON.


def _space_to_json(space: Any) -> dict[str, Any]:
    match space:
        case spaces.Dict():
            return {
                "type": "Dict",
                "spaces": {name: _space_to_json(child) for name, child in space.spaces.items()},
            }
        case spaces.Box():
            return {
                "type": "Box",
                "low": _bound_to_json(space.low, space.bounded_below, -inf),
                "high": _bound_to_json(space.high, space.bounded_above, inf),
                "shape": list(space.shape),
                "dtype": space.dtype.name,
            }
        case spaces.Discrete():
            start, n = _start_and_count(space)
            return {"type": "Discrete", "n": n, "start": start, "dtype": space.dtype.name}
        case spaces.MultiDiscrete():
            start, count = _start_and_count(space)
            return {
                "type": "MultiDiscrete",
                "nvec": count.tolist(),
                "start": start.tolist(),
                "dtype": space.dtype.name,
            }
        case spaces.MultiBinary():
            return {"type": "MultiBinary", "shape": list(space.shape)}
    raise TypeError(f"{space} has no JSON form")


def _space_from_json(label: str, data: Any) -> Any:
    match data:
        case {"type": "Dict", "spaces": dict(children)} if len(data) == 2:
            return spaces.Dict({name: _space_from_json(f"{label}/{name}", child) for name, child in children.items()})
    try:
        space = _leaf_from_json(data)
    except (TypeError, ValueError, OverflowError, AssertionError) as error:
        raise ValueError(f"the saved {label} space is broken: {error}") from error
    if space is None:
        raise ValueError(f"the saved {label} space is none that Reverie writes: {data!r}")
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
        case {"type": "MultiBinary", "shape": [*shape], **rest}:
            return None if rest else spaces.MultiBinary(shape)
    return None


def _bound_to_json(bound: np.ndarray, bounded: np.ndarray | np.bool, infinity: float) -> Any:
    """One number where all entries agree, else a flat list; infinities as strings, which JSON can hold.

    An integer space remembers that it is unbounded only in Gymnasium's `bounded_…` flags.
    """
    values = [x if ok else infinity for x, ok in zip(bound.flat, bounded.flat, strict=True)]
    entries = [np.asarray(x).item() if np.isfinite(x) else str(float(x)) for x in values]
    return entries[0] if len(set(entries)) == 1 else entries


def _bound_from_json(data: Any, shape: list[int], dtype: np.dtype) -> Any:
    entries = data if isinstance(data, list) else [data]
    numbers = [float(x) if x in ("inf", "-inf") else x for x in entries]
    # An infinite bound of an integer space is a float to Gymnasium.
    exact = dtype.kind == "f" or all(x not in (inf, -inf) for x in numbers)
    bound = np.array(numbers, dtype if exact else np.float64)
    if exact and bound.tolist() != numbers:
        raise TypeError(f"the bound {data!r} is not of the type {dtype.name}")
    if isinstance(data, list):
        return bound.reshape(shape)
    return np.full(shape, bound[0]) if exact else numbers[0]


def _integers(data: list[Any]) -> np.ndarray:
    array = np.array(data)
    if array.dtype.kind != "i":
        raise TypeError(f"{data!r} are not integers")
    return array
