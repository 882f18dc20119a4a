"""The latest observations of N environments, one row each: in this process, or in memory shared between processes.

May import: `reverie.spaces`, `reverie.errors`; NumPy.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np

from reverie.errors import InputError
from reverie.spaces import Spaces
from reverie.spaces.leaves import Leaf, nest

ALIGNMENT = 64  # bytes


class Rows:
    """One row of observations per environment.

    Attributes:
        batch: all rows, in the structure of the observation space with a leading axis N.
    """

    def __init__(self, spaces: Spaces, num_envs: int, buffer: Any = None) -> None:
        self._leaves: Mapping[str, Leaf] = spaces.observation_leaves
        self._arrays: dict[str, np.ndarray] = {}
        offset = 0
        for key, leaf in self._leaves.items():
            shape = (num_envs, *leaf.space.shape)
            self._arrays[key] = np.ndarray(shape, leaf.space.dtype, buffer, offset if buffer is not None else 0)
            offset += _padded(self._arrays[key].nbytes)
        self.batch: Any = nest(
            spaces.observation_space, {leaf.path: self._arrays[key] for key, leaf in self._leaves.items()}
        )

    def write(self, index: int, observation: Any) -> None:
        """Copy an observation, in the structure of its space, into the row of one environment."""
        for key, leaf in self._leaves.items():
            self._arrays[key][index] = leaf.pick(observation)

    def close(self) -> None:
        """Free the memory; `batch` must not be used afterwards."""
        self._arrays, self.batch = {}, None


class SharedRows(Rows):
    """Rows in memory shared between processes.

    Args:
        spaces: of one environment.
        num_envs: N.
        name: of memory that another process has allocated; None to allocate it.

    Raises:
        InputError: there is not enough shared memory.
    """

    def __init__(self, spaces: Spaces, num_envs: int, name: str | None = None) -> None:
        leaves = spaces.observation_leaves.values()
        row = ((num_envs * int(np.prod(leaf.space.shape, dtype=int)), leaf.space.dtype) for leaf in leaves)
        size = sum(_padded(count * dtype.itemsize) for count, dtype in row)
        self._memory = SharedMemory(name, create=name is None, size=size)
        self.name, self._owned = self._memory.name, name is None
        if self._owned:
            self._reserve(size)
        super().__init__(spaces, num_envs, self._memory.buf)

    def _reserve(self, size: int) -> None:
        """Allocate all of the memory now: if it ran out later, the process would be killed."""
        if not hasattr(os, "posix_fallocate") or not hasattr(self._memory, "_fd"):
            return
        try:
            os.posix_fallocate(self._memory._fd, 0, size)
        except OSError as error:
            self._memory.close()
            self._memory.unlink()
            raise InputError(
                f"Parallel environments need {size:,} bytes of shared memory ({error}): enlarge it, in Docker with "
                "--shm-size, or use fewer environments."
            ) from error

    def close(self) -> None:
        super().close()
        with contextlib.suppress(BufferError):  # a view of `batch` is still in use; the memory is freed after it
            self._memory.close()
        if self._owned:
            with contextlib.suppress(FileNotFoundError):
                self._memory.unlink()


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
