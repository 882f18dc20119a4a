"""Nested Dict and Tuple spaces as flat keys, and values back into the nesting.

May import: `features`, `kinds`; Gymnasium and NumPy.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
from gymnasium import spaces

from reverie.errors import InputError
from reverie.spaces.features import Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import UnsupportedSpaceError

EVERYTHING = ".*"  # the keys that choose all
Path = tuple[str | int, ...]  # the name in a Dict or the index in a Tuple, from the outside inwards


@dataclass(frozen=True)
class Leaf:
    """A space that is no Dict or Tuple, and the way that leads to it: () where the whole space is none."""

    path: Path
    space: Any
    feature: Feature

    def pick(self, tree: Any) -> Any:
        """This leaf's value in an observation."""
        for depth, step in enumerate(self.path):
            tree = entry(tree, step, self.path[: depth + 1])
        return tree


def join(path: Path) -> str:
    """The key of a leaf."""
    return "/".join(map(str, path))


def entry(tree: Any, step: str | int, path: Path) -> Any:
    """An entry of a Dict's or Tuple's value; indices may be texts, as `choose` makes them."""
    if isinstance(tree, tuple | list) and str(step).isdigit() and int(step) < len(tree):
        return tree[int(step)]
    if isinstance(tree, Mapping) and step in tree:
        return tree[step]
    raise ValueError(f"the observation lacks {join(path)!r}, which its space promises")


def choose(space: gym.Space[Any], keys: str) -> gym.Space[Any]:
    """The part of a Dict or Tuple whose leaves have keys that the whole regular expression matches, as Dicts.

    Nothing is asked of the rest, which may be of any kind.

    Raises:
        InputError: `keys` is no regular expression.
        UnsupportedSpaceError: none matches.
    """
    pattern = _compiled("keys", keys)
    if not isinstance(space, spaces.Dict | spaces.Tuple) or keys == EVERYTHING:
        return space
    chosen = _choose(space, pattern, ())
    if chosen is None:
        there = ", ".join(join(path) for path, _ in _walk("observation", space, ()))
        raise UnsupportedSpaceError(f"no observation matches the keys {keys!r}; there are {there}")
    return chosen


def matching(features: Mapping[str, Feature], setting: str, keys: str) -> dict[str, Feature]:
    """The features with keys that the whole regular expression matches; `setting` says where it comes from.

    Raises:
        InputError: `keys` is no regular expression, or matches none.
    """
    pattern = _compiled(setting, keys)
    found = {key: feature for key, feature in features.items() if pattern.fullmatch(key)}
    if not found:
        raise InputError(f"{setting} is {keys!r}, which matches no observation; there are {', '.join(features)}")
    return found


def _compiled(setting: str, keys: str) -> re.Pattern[str]:
    try:
        return re.compile(keys)
    except re.error as error:
        raise InputError(f"{setting} must be a regular expression, got {keys!r}: {error}") from error


def _choose(space: Any, pattern: re.Pattern[str], path: Path) -> Any:
    if not isinstance(space, spaces.Dict | spaces.Tuple):
        return space if pattern.fullmatch(join(path)) else None
    children = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
    chosen = {str(name): _choose(child, pattern, (*path, name)) for name, child in children}
    kept = {name: child for name, child in chosen.items() if child is not None}
    return spaces.Dict(kept) if kept else None


def restrict(space: gym.Space[Any], observation: Any, path: Path = ()) -> Any:
    """What a chosen space has of an observation."""
    if not isinstance(space, spaces.Dict):
        return observation
    return {
        name: restrict(child, entry(observation, name, (*path, name)), (*path, name))
        for name, child in space.spaces.items()
    }


def leaves(what: str, space: gym.Space[Any], feature: Callable[[str, Any], Feature]) -> dict[str, Leaf]:
    """The leaves of a space by their joined keys, sorted.

    Raises:
        UnsupportedSpaceError: two have the same key, or some are not supported; all of these.
    """
    found, problems = dict[str, Leaf](), list[str]()
    for path, leaf in _walk(what, space, ()):
        key = join(path)
        if key in found:
            raise UnsupportedSpaceError(f"two {what} spaces are called {key!r}: rename one with a wrapper")
        try:
            found[key] = Leaf(path, leaf, feature(f"{what} {key!r}" if path else f"the {what}", leaf))
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
            f"{what} {join(path)!r} is an empty {type(space).__name__}: give it an entry or drop it"
        )
    children = space.spaces.items() if isinstance(space, spaces.Dict) else enumerate(space.spaces)
    for name, child in children:
        if isinstance(space, spaces.Dict) and (not isinstance(name, str) or not name):
            raise UnsupportedSpaceError(
                f"{what} spaces must have names, got the key {name!r}: rename it with a wrapper"
            )
        yield from _walk(what, child, (*path, name))


def nest(space: Any, values: Mapping[Path, Any], path: Path = ()) -> Any:
    """Values by their paths in the structure of the space."""
    match space:
        case spaces.Dict():
            return {name: nest(child, values, (*path, name)) for name, child in space.spaces.items()}
        case spaces.Tuple():
            return tuple(nest(child, values, (*path, index)) for index, child in enumerate(space.spaces))
    return values[path]
