"""What one record looks like: names, shapes and dtypes of its leaves, and the check that others do too.

May import: `experience`.
"""

from typing import Any

import jax
import numpy as np

from reverie.experience import Experience


class Layout:
    """Shapes and dtypes of one record. `template`: an Experience of arrays without leading axes."""

    def __init__(self, template: Experience) -> None:
        self._structure: Any  # JAX exports its tree structures without a type
        leaves, self._structure = jax.tree.flatten(template)
        self._names = _names(template)
        self._leaves = [(tuple(leaf.shape), np.dtype(leaf.dtype)) for leaf in leaves]
        self.nbytes = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in self._leaves)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one record's leaf."""
        return self._leaves[self._names.index(name)][0]

    def empty(self, *leading: int) -> Experience:
        """Uninitialised records, leaves (*leading, ...). Large ones take up memory only where written to."""
        leaves = [np.empty((*leading, *shape), dtype) for shape, dtype in self._leaves]
        return self._structure.unflatten(leaves)

    def named(self, records: Experience) -> dict[str, np.ndarray]:
        """The leaves by their names, for a file."""
        return dict(zip(self._names, jax.tree.leaves(records), strict=True))

    def unnamed(self, leaves: dict[str, np.ndarray]) -> Experience:
        """The inverse of `named`; a ValueError where names are missing or unknown."""
        missing, unknown = sorted({*self._names} - {*leaves}), sorted({*leaves} - {*self._names})
        if missing or unknown:
            raise ValueError(f"The record has other leaves than the template: {missing=}, {unknown=}.")
        return self._structure.unflatten([leaves[name] for name in self._names])

    def check(self, records: Experience, *leading: int) -> Experience:
        """The same records as numpy arrays, leaves (*leading, ...).

        Raises:
            ValueError: where keys, shape or dtype differ from the template's, naming the leaf.
        """
        leaves, structure = jax.tree.flatten(records)
        if self._structure != structure:
            names = _names(records)
            missing, unknown = sorted({*self._names} - {*names}), sorted({*names} - {*self._names})
            raise ValueError(f"The record has other leaves than the template: {missing=}, {unknown=}.")
        arrays = [np.asarray(leaf) for leaf in leaves]
        for name, got, (shape, dtype) in zip(self._names, arrays, self._leaves, strict=True):
            expected = (*leading, *shape)
            if got.shape != expected or got.dtype != dtype:
                raise ValueError(f"`{name}` is {got.dtype} {got.shape}, expected {dtype} {expected}.")
        return self._structure.unflatten(arrays)


def _names(tree: Any) -> list[str]:
    named, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in named]
