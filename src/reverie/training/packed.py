"""Named numbers of a compiled program, packed into one array. May import: nothing of Reverie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@jax.tree_util.register_pytree_node_class
class Packed(Mapping[str, Any]):
    """Numbers by name that travel as one array, because copying an array to the host takes no longer than a number.

    Reading one waits for the device and copies all of them.

    Args:
        names: of the numbers.
        array: (..., M), the numbers in the order of their names.
    """

    def __init__(self, names: tuple[str, ...], array: Any) -> None:
        self.names, self.array = names, array

    @classmethod
    def of(cls, numbers: Mapping[str, jax.Array]) -> Packed:
        """Pack numbers; part of a compiled program."""
        # XLA would fuse what computes them with the packing, and round some of them differently.
        values = jax.lax.optimization_barrier(list(numbers.values()))
        return cls(tuple(numbers), jnp.stack(values, axis=-1))

    def __getitem__(self, name: str) -> Any:
        return np.asarray(self.array)[..., self.names.index(name)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def values(self) -> ValuesView[Any]:
        """All numbers, which are looked up by name one by one otherwise."""
        return dict(zip(self.names, np.moveaxis(np.asarray(self.array), -1, 0), strict=True)).values()

    def tree_flatten(self) -> tuple[tuple[Any], tuple[str, ...]]:
        """For JAX: the array, and what is constant."""
        return (self.array,), self.names

    @classmethod
    def tree_unflatten(cls, names: tuple[str, ...], children: tuple[Any]) -> Packed:
        """For JAX: the inverse."""
        return cls(names, *children)
