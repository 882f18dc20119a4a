"""Replay in the device's memory: batches are gathered where they are used, and latents never leave it.

All of it is allocated with the first record. May import: the rest of this room.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reverie.experience import Experience
from reverie.replay.layout import Layout, Leaves
from reverie.replay.streams import Array, Streams


class DeviceStreams(Streams):
    """Streams in JAX's arrays on its first device."""

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int) -> None:
        super().__init__(layout, num_streams, length, segment)
        self._rings: Any = None  # an Experience, leaves (N, length, ...), once there is a record

    @property
    def nbytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._rings))

    def read(self, stream: np.ndarray, first: np.ndarray, time: int) -> Experience:
        slots = (first[:, None] + np.arange(time)) % self.length
        return _gather(self._rings, stream[:, None], slots)

    def copy(self, index: int, kind: str) -> Leaves:
        slots = slice(index * self.segment, index * self.segment + self._written(index))
        leaves = self._layout.named(self._rings)
        return {name: np.array(leaves[name][:, slots]) for name in self._names(kind)}

    def _put(self, index: int, slots: slice, records: Experience) -> None:
        if self._rings is None:
            self._rings = jax.tree.map(jnp.zeros_like, self._layout.empty(self._num_streams, self.length))
        self._rings = _overwrite(self._rings, records, index * self.segment + slots.start)

    def _put_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        times = first[:, None] + np.arange(deter.shape[1])
        # A scatter's order is not defined, so of several writes to a record only the last is left in.
        _, last = np.unique((stream[:, None] * (self.count + 1) + times).ravel()[::-1], return_index=True)
        lasting = np.zeros(times.size, bool)
        lasting[times.size - 1 - last] = True
        slots = np.where(lasting.reshape(times.shape) & (times >= self.oldest), times % self.length, self.length)
        kept = {"deter": self._rings.deter, "stoch": self._rings.stoch}
        new = {"deter": deter, "stoch": stoch}
        self._rings = self._rings._replace(**_scatter(kept, new, stream[:, None], slots))

    def _end(self, time: int, streams: np.ndarray) -> None:
        self._rings = self._rings._replace(is_last=_mark(self._rings.is_last, streams, time % self.length))


@jax.jit
def _gather(rings: Any, stream: jax.Array, slots: jax.Array) -> Any:
    return jax.tree.map(lambda leaf: leaf[stream, slots], rings)


@partial(jax.jit, donate_argnums=0)
def _overwrite(rings: Any, records: Any, slot: int | jax.Array) -> Any:
    return jax.tree.map(lambda leaf, x: jax.lax.dynamic_update_slice_in_dim(leaf, x, slot, 1), rings, records)


@partial(jax.jit, donate_argnums=0)
def _scatter(kept: Any, new: Any, stream: jax.Array, slots: jax.Array) -> Any:
    """Slots beyond the end, of records that are gone, are dropped."""
    return jax.tree.map(lambda leaf, x: leaf.at[stream, slots].set(x.astype(leaf.dtype), mode="drop"), kept, new)


@partial(jax.jit, donate_argnums=0)
def _mark(is_last: jax.Array, streams: jax.Array, slot: int | jax.Array) -> jax.Array:
    return is_last.at[:, slot].max(streams)
