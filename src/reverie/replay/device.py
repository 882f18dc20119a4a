"""A replay buffer in device memory: batches are gathered there, and latents never leave the device.

The whole buffer is allocated with the first record. May import: the rest of this room.
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
    """Streams in JAX arrays on the first device. bfloat16 is stored as uint16.

    XLA has no bfloat16 arithmetic on CPUs: to change one record it would convert all of them to float32 and back.
    """

    def __init__(self, layout: Layout, num_streams: int, length: int, segment: int) -> None:
        super().__init__(layout, num_streams, length, segment)
        self._like = layout.empty(0)
        self._dtypes = tuple(leaf.dtype for leaf in jax.tree.leaves(self._like))
        self._rings: Any = None  # an Experience, leaves (N, length, ...), after the first record

    @property
    def nbytes(self) -> int:
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self._rings))

    def read(self, stream: np.ndarray, first: np.ndarray, time: int, latents: int) -> Experience:
        slots = (first[:, None] + np.arange(time)) % self.length
        return _gather(self._rings, stream[:, None], slots, latents, self._dtypes)

    def copy(self, index: int, kind: str) -> Leaves:
        slots = slice(index * self.segment, index * self.segment + self._written(index))
        leaves, like = self._layout.named(self._rings), self._layout.named(self._like)
        return {name: np.array(leaves[name][:, slots]).view(like[name].dtype) for name in self._names(kind)}

    def _put(self, slots: np.ndarray, records: Experience) -> None:
        self.reserve()
        self._rings = _overwrite(self._rings, jax.tree.map(_bits, records), slots)

    def reserve(self, records: int = 1) -> None:
        if self._rings is None:
            empty = self._layout.empty(self._num_streams, self.length)
            self._rings = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, _bits(leaf).dtype), empty)

    def _put_latents(self, stream: np.ndarray, first: np.ndarray, deter: Array, stoch: Array) -> None:
        times = first[:, None] + np.arange(deter.shape[1])
        # The order of a scatter is undefined, so of several writes to a record only the last is kept.
        _, last = np.unique((stream[:, None] * (self.count.max() + 1) + times).ravel()[::-1], return_index=True)
        lasting = np.zeros(times.size, bool)
        lasting[times.size - 1 - last] = True
        slots = self._slots(times, lasting.reshape(times.shape) & (times >= self.oldest[stream][:, None]))
        kept = self._rings.deter, self._rings.stoch
        deter, stoch = _scatter(kept, (deter, stoch), stream[:, None], slots, self._dtypes[-2:])
        self._rings = self._rings._replace(deter=deter, stoch=stoch)

    def _end(self, slots: np.ndarray) -> None:
        self._rings = self._rings._replace(is_last=_mark(self._rings.is_last, slots))


def _bits(x: Any) -> Any:
    return x.view(np.uint16) if x.dtype == jnp.bfloat16 else x


@partial(jax.jit, static_argnames=("latents", "dtypes"))
def _gather(
    rings: Experience, stream: jax.Array, slots: jax.Array, latents: int, dtypes: tuple[Any, ...]
) -> Experience:
    """The records in slots (B, time) of the streams (B, 1), with the latents of the first few of them."""
    leaves, structure = jax.tree.flatten(rings)
    wanted = [slots] * (len(leaves) - 2) + [slots[:, :latents]] * 2  # latents are the last two leaves
    read = [leaf[stream, at].view(dtype) for leaf, at, dtype in zip(leaves, wanted, dtypes, strict=True)]
    return jax.tree.unflatten(structure, read)


@partial(jax.jit, donate_argnums=0)
def _overwrite(rings: Any, records: Any, slots: jax.Array) -> Any:
    """Write records (N, time, ...) to slots (N, time); those beyond the end are dropped."""
    streams = jnp.arange(slots.shape[0])[:, None]
    return jax.tree.map(lambda leaf, x: leaf.at[streams, slots].set(x, mode="drop"), rings, records)


@partial(jax.jit, donate_argnums=0, static_argnames="dtypes")
def _scatter(kept: Any, new: Any, stream: jax.Array, slots: jax.Array, dtypes: tuple[Any, ...]) -> Any:
    """Write latents to slots; those beyond the end, of overwritten records, are dropped."""

    def put(leaf: jax.Array, x: jax.Array, dtype: Any) -> jax.Array:
        return leaf.at[stream, slots].set(_bits(x.astype(dtype)), mode="drop")

    return tuple(map(put, kept, new, dtypes))


@partial(jax.jit, donate_argnums=0)
def _mark(is_last: jax.Array, slots: jax.Array) -> jax.Array:
    return is_last.at[jnp.arange(slots.shape[0]), slots].set(True, mode="drop")
