"""Nested Dict spaces as flat keys, and values back into the nesting.

May import: `features`, `kinds`; Gymnasium and NumPy.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from reverie.spaces.features import Continuous, Discrete, Feature, Image
from reverie.spaces.kinds import UnsupportedSpaceError


@dataclass(frozen=True)
class Leaf:
    """A space that is no Dict, and the keys that lead to it: () where the whole space is no Dict."""

    path: tuple[str, ...]
    space: Any
    feature: Feature

    def pick(self, tree: Any) -> Any:
        """This leaf's value in an observation."""
        for name in self.path:
            if not isinstance(tree, Mapping) or name not in tree:
                raise ValueError(f"the observation lacks {'/'.join(self.path)!r}, which its space promises")
            tree = tree[name]
        return tree


def leaves(what: str, space: gym.Space[Any], feature: Callable[[str, Any], Feature]) -> dict[str, Leaf]:
    """The leaves of a space by their joined keys, sorted."""
    found: dict[str, Leaf] = {}
    for path, leaf in _walk(what, space, ()):
        key = "/".join(path)
        if key in found:
            raise UnsupportedSpaceError(f"two {what} spaces are called {key!r}: rename one with a wrapper")
        found[key] = Leaf(path, leaf, feature(f"{what} {key!r}" if path else f"the {what}", leaf))
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


def nest(values: Mapping[tuple[str, ...], np.ndarray]) -> Any:
    """The nested dicts that paths speak of; the value itself for the path ()."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        if not path:
            return value
        node = tree
        for name in path[:-1]:
            node = node.setdefault(name, {})
        node[path[-1]] = value
    return tree
