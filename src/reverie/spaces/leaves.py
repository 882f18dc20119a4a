"""Nested Dict and Tuple spaces as flat keys, and flat values back into the nesting.

May import: `features`, `kinds`; Gymnasium.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from reverie.errors import InputError
from reverie.spaces.features import Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import Guess, UnsupportedSpaceError, bounds, pixel_order

EVERYTHING = ".*"  # the expression that selects all keys
BARE = ("observation", "image", "vector")  # names of an observation that is not nested
Path = tuple[str | int, ...]  # names in Dicts and indices in Tuples, from the outermost to the innermost


@dataclass(frozen=True)
class Leaf:
    """A space other than a Dict or Tuple, and the path that leads to it: () if it is the whole space."""

    path: Path
    space: Any
    feature: Feature
    order: tuple[int, ...] = ()  # of an image: its axes in the order height, width, frames, channels

    @cached_property
    def scale(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Of an image: the values of black and the size of one of 255 steps; None for uint8 from 0 to 255."""
        low, high = bounds(self.space)
        if self.space.dtype == np.uint8 and not low.any() and (high == 255).all():
            return None
        step = (high - low) / 255
        return low, np.where(step > 0, step, 1)

    def pick(self, tree: Any, what: str = "observation") -> Any:
        """This leaf's value in an observation or, as `what` says, an action."""
        for depth, step in enumerate(self.path):
            tree = entry(tree, step, self.path[: depth + 1], what)
        return tree


def join(path: Path) -> str:
    """The key of the leaf at this path."""
    return "/".join(map(str, path))


def by_array_name(what: str, leaves: Mapping[str, Leaf]) -> dict[str, Leaf]:
    """Leaves by the names of their arrays in files and exports: "action/KEY", or "action" if it is bare."""
    return {f"{what}/{key}" if leaf.path else what: leaf for key, leaf in leaves.items()}


def entry(tree: Any, step: str | int, path: Path, what: str = "observation") -> Any:
    """An entry of a Dict's or Tuple's value; indices may be strings, as `choose` returns them."""
    if isinstance(tree, tuple | list) and str(step).isdigit() and int(step) < len(tree):
        return tree[int(step)]
    if isinstance(tree, Mapping) and step in tree:
        return tree[step]
    raise ValueError(f"the {what} lacks {join(path)!r}, which is in its space")


def choose(space: gym.Space[Any], keys: str, always: Collection[str] = ()) -> gym.Space[Any]:
    """The part of a Dict or Tuple whose keys fully match the regular expression `keys`, as nested Dicts.

    Keys in `always` are chosen anyway. The rest may contain spaces of any kind, even unsupported ones.

    Raises:
        InputError: `keys` is not a regular expression.
        UnsupportedSpaceError: no key matches.
    """
    pattern = _compiled("keys", keys)
    if not isinstance(space, spaces.Dict | spaces.Tuple) or keys == EVERYTHING:
        return space
    chosen = _choose(space, lambda key: key in always or pattern.fullmatch(key), ())
    if chosen is None:
        there = ", ".join(join(path) for path, _ in _walk("observation", space, ()))
        raise UnsupportedSpaceError(f"keys is {keys!r}, which matches no observation; the observations are: {there}.")
    return chosen


def matching(
    features: Mapping[str, Feature], setting: str, keys: str, always: Collection[str] = ()
) -> dict[str, Feature]:
    """The features whose keys fully match the regular expression `keys` or are in `always`.

    `setting` names the expression in errors.

    Raises:
        InputError: `keys` is not a regular expression, or matches no key.
    """
    pattern = _compiled(setting, keys)
    found = {key: feature for key, feature in features.items() if pattern.fullmatch(key)}
    if not found:
        known = ", ".join(features)
        raise InputError(f"{setting} is {keys!r}, which matches no observation; the observations are: {known}.")
    return {key: feature for key, feature in features.items() if key in found or key in always}


def _compiled(setting: str, keys: str) -> re.Pattern[str]:
    try:
        return re.compile(keys)
    except re.error as error:
        raise InputError(f"{setting} must be a regular expression, got {keys!r}: {error}") from error


def _choose(space: Any, chosen_key: Callable[[str], object], path: Path) -> Any:
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return space if chosen_key(join(path)) else None
    children = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
    chosen = {str(name): _choose(child, chosen_key, (*path, name)) for name, child in children}
    kept = {name: child for name, child in chosen.items() if child is not None}
    return spaces.Dict(kept) if kept else None


def restrict(space: gym.Space[Any], observation: Any, path: Path = ()) -> Any:
    """The part of an observation that belongs to a space returned by `choose`."""
    if not isinstance(space, spaces.Dict):
        return observation
    return {
        name: restrict(child, entry(observation, name, (*path, name)), (*path, name))
        for name, child in space.spaces.items()
    }


def unguided(key: str) -> Guess:
    """No guess."""
    return None


def guided(image_keys: str, vector_keys: str) -> Callable[[str], Guess]:
    """A function from keys to what two regular expressions say that Boxes are; empty ones match no key.

    Raises:
        InputError: one of them is not a regular expression.
    """
    images, vectors = (
        _compiled(f"env.{name}", keys) if keys else None
        for name, keys in (("image_keys", image_keys), ("vector_keys", vector_keys))
    )

    def guess(key: str) -> Guess:
        names = (key,) if key else BARE
        if images and any(map(images.fullmatch, names)):
            return "image"
        return "vector" if vectors and any(map(vectors.fullmatch, names)) else None

    return guess


def leaves(
    what: str,
    space: gym.Space[Any],
    feature: Callable[..., Feature],
    guess: Callable[[str], Guess] = unguided,
) -> dict[str, Leaf]:
    """The leaves of a space by their keys, in sorted order.

    Args:
        what: "observation" or "action".
        space: to take apart.
        feature: for a label and a space and, if there is one, a guess.
        guess: for a key, "" for a space that is not nested.

    Raises:
        UnsupportedSpaceError: two leaves have the same key, or some are not supported; names all of these.
    """
    found, problems = dict[str, Leaf](), list[str]()
    for path, leaf in _walk(what, space, ()):
        key = join(path)
        if key in found:
            raise UnsupportedSpaceError(f"two {what} spaces have the key {key!r}: rename one with a wrapper")
        try:
            told = guess(key)
            known = feature(f"{what} {key!r}" if path else f"the {what}", leaf, *([told] if told else []))
            found[key] = Leaf(path, leaf, known, pixel_order(leaf, told) or () if isinstance(known, Image) else ())
        except UnsupportedSpaceError as problem:
            problems.append(str(problem))
    if problems:
        raise UnsupportedSpaceError("; ".join(problems))
    if "" in found:
        bare = {Image: "image", Continuous: "vector", Discrete: "discrete"}[type(found[""].feature)]
        return {bare if what == "observation" else what: found[""]}
    return dict(sorted(found.items()))


def _walk(what: str, space: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        yield path, space
        return
    if not space.spaces:
        raise UnsupportedSpaceError(
            f"{what} {join(path)!r} is an empty {type(space).__name__}: add an entry or remove it with a wrapper"
        )
    children = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
    for name, child in children:
        if isinstance(space, spaces.Dict) and (not isinstance(name, str) or not name):
            raise UnsupportedSpaceError(
                f"{what} keys must be non-empty strings, got {name!r}: rename it with a wrapper"
            )
        yield from _walk(what, child, (*path, name))


def nest(space: Any, values: Mapping[Path, Any], path: Path = ()) -> Any:
    """Values, given by path, in the structure of the space."""
    match space:
        case spaces.Dict():
            return {name: nest(child, values, (*path, name)) for name, child in space.spaces.items()}
        case spaces.Tuple():
            return tuple(nest(child, values, (*path, index)) for index, child in enumerate(space.spaces))
    return values[path]
