"""The layout of one record: names, shapes and dtypes of its leaves, and the check that others have the same.

May import: `experience`.
"""

from math import prod
from typing import Any

import jax
import numpy as np

from reverie.experience import Experience

Leaves = dict[str, np.ndarray]
ALIGNMENT = 64  # bytes; leaves begin at multiples of it in a buffer


class Layout:
    """The shapes and dtypes of one record.

    Args:
        template: a record of arrays without leading axes.
    """

    def __init__(self, template: Experience) -> None:
        self._structure: Any  # JAX exports its tree structures without a type
        leaves, self._structure = jax.tree.flatten(template)
        self.names = _names(template)
        self._leaves = [(tuple(leaf.shape), np.dtype(leaf.dtype)) for leaf in leaves]
        self.nbytes = self.nbytes_of(*self.names)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one record's leaf."""
        return self._leaves[self.names.index(name)][0]

    def nbytes_of(self, *names: str) -> int:
        """The number of bytes of some leaves of one record."""
        leaves = zip(self.names, self._leaves, strict=True)
        return sum(prod(shape) * dtype.itemsize for name, (shape, dtype) in leaves if name in names)

    def empty(self, *leading: int) -> Experience:
        """Uninitialized records, leaves (*leading, ...). The system allocates their memory when it is written to."""
        leaves = [np.empty((*leading, *shape), dtype) for shape, dtype in self._leaves]
        return self._structure.unflatten(leaves)

    def zeros(self, *leading: int) -> Experience:
        """Records of zeros, leaves (*leading, ...). The system allocates their memory when it is written to."""
        return self._structure.unflatten([np.zeros((*leading, *shape), dtype) for shape, dtype in self._leaves])

    def nbytes_in_buffer(self, *leading: int) -> int:
        """The number of bytes that `in_buffer` needs."""
        return self._offsets(*leading)[-1]

    def in_buffer(self, buffer: np.ndarray, *leading: int) -> Experience:
        """Records whose leaves (*leading, ...) are consecutive parts of a buffer of bytes; nothing is copied."""
        leaves = [
            buffer[offset:][: prod(leading + shape) * dtype.itemsize].view(dtype).reshape(*leading, *shape)
            for offset, (shape, dtype) in zip(self._offsets(*leading)[:-1], self._leaves, strict=True)
        ]
        return self._structure.unflatten(leaves)

    def _offsets(self, *leading: int) -> list[int]:
        sizes = [prod(leading + shape) * dtype.itemsize for shape, dtype in self._leaves]
        return [0, *np.cumsum([-(-size // ALIGNMENT) * ALIGNMENT for size in sizes]).tolist()]

    def named(self, records: Experience) -> dict[str, Any]:
        """The leaves by name."""
        return dict(zip(self.names, jax.tree.leaves(records), strict=True))

    def unnamed(self, leaves: Leaves) -> Experience:
        """The inverse of `named`; raises a ValueError if names are missing or unknown."""
        missing, unknown = sorted({*self.names} - {*leaves}), sorted({*leaves} - {*self.names})
        if missing or unknown:
            raise ValueError(f"The record has other leaves than the template: {missing=}, {unknown=}.")
        return self._structure.unflatten([leaves[name] for name in self.names])

    def check(self, records: Experience, *leading: int) -> Experience:
        """Return the records, leaves (*leading, ...), after checking them.

        Raises:
            ValueError: a leaf has another key, shape or dtype than in the template; the message names it.
        """
        leaves, structure = jax.tree.flatten(records)
        if self._structure != structure:
            names = _names(records)
            missing, unknown = sorted({*self.names} - {*names}), sorted({*names} - {*self.names})
            raise ValueError(f"The record has other leaves than the template: {missing=}, {unknown=}.")
        for name, got, (shape, dtype) in zip(self.names, leaves, self._leaves, strict=True):
            expected = (*leading, *shape)
            if got.shape != expected or got.dtype != dtype:
                raise ValueError(f"'{name}' is {got.dtype} {got.shape}, expected {dtype} {expected}.")
        return records


def _names(tree: Any) -> list[str]:
    named, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in named]
