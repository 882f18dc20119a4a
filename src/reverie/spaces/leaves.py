"""Nested Dict and Tuple spaces as flat keys, and values back into the nesting.

May import: `features`, `kinds`; Gymnasium and NumPy.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from reverie.spaces.features import Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import UnsupportedSpaceError

Path = tuple[str | int, ...]  # the name in a Dict or the index in a Tuple, from the outside inwards


@dataclass(frozen=True)
class Leaf:
    """A space that is no Dict or Tuple, and the way that leads to it: () where the whole space is none."""

    path: Path
    space: Any
    feature: Feature

    def pick(self, tree: Any) -> Any:
        """This leaf's value in an observation."""
        for step in self.path:
            if isinstance(step, int):
                found = isinstance(tree, tuple | list) and step < len(tree)
            else:
                found = isinstance(tree, Mapping) and step in tree
            if not found:
                raise ValueError(f"the observation lacks {join(self.path)!r}, which its space promises")
            tree = tree[step]
        return tree


def join(path: Path) -> str:
    """The key of a leaf."""
    return "/".join(map(str, path))


def leaves(
    what: str, space: gym.Space[Any], feature: Callable[[str, Any], Feature], keys: str = ".*"
) -> dict[str, Leaf]:
    """The leaves of a space by their joined keys, sorted; only those whose whole key matches the pattern."""
    found, problems = dict[str, Leaf](), list[str]()
    for path, leaf in _walk(what, space, ()):
        key = join(path)
        if key in found:
            raise UnsupportedSpaceError(f"two {what} spaces are called {key!r}: rename one with a wrapper")
        if path and not re.fullmatch(keys, key):
            continue
        try:
            found[key] = Leaf(path, leaf, feature(f"{what} {key!r}" if path else f"the {what}", leaf))
        except UnsupportedSpaceError as problem:
            problems.append(str(problem))
    if problems:
        raise UnsupportedSpaceError("; ".join(problems))
    if not found:
        there = ", ".join(join(path) for path, _ in _walk(what, space, ()))
        raise UnsupportedSpaceError(f"no {what} matches the keys {keys!r}; there are {there}")
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


def nest(space: Any, values: Mapping[Path, np.ndarray], path: Path = ()) -> Any:
    """Values by their paths in the structure of the space."""
    match space:
        case spaces.Dict():
            return {name: nest(child, values, (*path, name)) for name, child in space.spaces.items()}
        case spaces.Tuple():
            return tuple(nest(child, values, (*path, index)) for index, child in enumerate(space.spaces))
    return values[path]
