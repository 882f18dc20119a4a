"""A tree's arrays by their paths, and back into a tree of the same kind. May import: the rest of this room."""

from typing import Any, TypeVar

import jax
import numpy as np

from reverie.storage.arrays import Arrays, DamagedFileError

Tree = TypeVar("Tree")


def leaves_by_name(tree: Any) -> dict[str, Any]:
    """The leaves by their paths, in the order of `jax.tree.leaves`."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def copied(tree: Any) -> Arrays:
    """The leaves by their paths, as arrays of their own: the tree's may be given away afterwards."""
    return {name: np.array(leaf) for name, leaf in leaves_by_name(tree).items()}


def as_tree(like: Tree, arrays: Arrays, where: object) -> Tree:
    """The arrays in the place of the leaves of `like`, which has their shapes and dtypes.

    Raises:
        DamagedFileError: the arrays in `where` (a path, for the message) have other names, shapes or dtypes.
    """
    expected = leaves_by_name(like)
    if missing := sorted(set(expected) - set(arrays)):
        raise DamagedFileError(f"{where} lacks {missing[0]} and {len(missing) - 1} more arrays.")
    if unknown := sorted(set(arrays) - set(expected)):
        raise DamagedFileError(f"{where} has {unknown[0]} and {len(unknown) - 1} more arrays that don't belong there.")
    for name, leaf in expected.items():
        got = arrays[name]
        if got.shape != leaf.shape or got.dtype != leaf.dtype:
            raise DamagedFileError(f"In {where}, {name} is {got.dtype} {got.shape}, not {leaf.dtype} {leaf.shape}.")
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected])
