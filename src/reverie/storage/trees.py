"""Converts between a tree and its arrays by name. May import: the rest of this room."""

from typing import Any, TypeVar

import numpy as np

from reverie.storage.arrays import Arrays
from reverie.storage.files import DamagedFileError

Tree = TypeVar("Tree")


def leaves_by_name(tree: object) -> dict[str, Any]:
    """The leaves of a tree by their paths, in the order of `jax.tree.leaves`."""
    import jax  # here, so that commands which only read files start fast

    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def copied(tree: object) -> Arrays:
    """Copies of a tree's leaves by their paths; they stay valid when the tree's buffers are donated."""
    return {name: np.array(leaf) for name, leaf in leaves_by_name(tree).items()}


def as_tree(like: Tree, arrays: Arrays, where: object) -> Tree:
    """A tree with the structure of `like`, and the arrays as its leaves.

    Args:
        like: has the expected names, shapes and dtypes.
        arrays: by the paths of the leaves.
        where: what the arrays were read from, for errors.

    Raises:
        DamagedFileError: the arrays have other names, shapes or dtypes.
    """
    import jax

    expected = leaves_by_name(like)
    if missing := sorted(set(expected) - set(arrays)):
        raise DamagedFileError(f"{where} lacks {missing[0]}{_and_more(missing)}.")
    if unknown := sorted(set(arrays) - set(expected)):
        raise DamagedFileError(f"{where} has {unknown[0]!r}{_and_more(unknown)}, which should not be there.")
    for name, leaf in expected.items():
        got = arrays[name]
        if got.shape != leaf.shape or got.dtype != leaf.dtype:
            raise DamagedFileError(
                f"In {where}, {name} is {got.dtype} {got.shape}, expected {leaf.dtype} {leaf.shape}."
            )
    return jax.tree.unflatten(jax.tree.structure(like), [arrays[name] for name in expected])


def _and_more(names: list[str]) -> str:
    others = len(names) - 1
    return f" and {others} more array{'s' if others > 1 else ''}" if others else ""
