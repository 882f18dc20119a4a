"""How the convolutions of `conv.py` are computed; a reader can skip this file.

Every function equals `plain_convolve` up to rounding. On an accelerator, that is what is used. On a CPU, XLA spends
most of a thin convolution on copying: as a matrix product, it lays out a k×k window for every output pixel, which
copies each input k² times. Here one row of the product is a block of tile×tile output pixels. A block needs a
(tile + k - 1)² window, which is a few whole input blocks next to each other: with k = 5 and tile = 4, each input is
copied 4 times instead of 25. The kernel becomes a matrix from windows to blocks, with zeros where a pixel of the window
is out of an output's reach: 2.6 times more multiplications, which a CPU has to spare. The best tile balances the two.

May import: JAX only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TILES = (1, 2, 4)
COPY = 60  # copying one number costs about as much as this many multiplications (measured in float32)
FRAMES = 16  # the most images that a CPU computes together

_plain = ContextVar("plain", default=False)


def convolve(x: Float[Array, "n h w inputs"], kernel: Float[Array, "k k inputs outputs"]) -> Array:
    """Return the convolution (n, h, w, outputs) with stride 1 and SAME padding; k is odd."""
    return blocked_convolve(x, kernel) if _in_blocks() else plain_convolve(x, kernel)


def map_frames(layers: Callable[..., Array], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """Apply `layers` to a batch of images, on a CPU a few images at a time, so that all of it stays in the cache.

    The backward pass computes the layers of each chunk again, which is faster than reading stored values back.
    """
    count = x.shape[0]
    few = max(size for size in range(1, FRAMES + 1) if count % size == 0)
    if few in (1, count) or not _in_blocks():
        return layers(x)
    y = jax.lax.map(jax.checkpoint(lambda frames: layers(frames)), x.reshape((-1, few, *x.shape[1:])))
    return y.reshape((count, *y.shape[2:]))


def _in_blocks() -> bool:
    """Whether to compute in blocks and chunks. Asked while a function is traced, not while it runs."""
    return jax.default_backend() == "cpu" and not _plain.get()


@contextmanager
def plain_convolutions() -> Iterator[None]:
    """Let functions traced inside use XLA's own convolution, for comparison in tests and benchmarks."""
    token = _plain.set(True)
    try:
        yield
    finally:
        _plain.reset(token)


def plain_convolve(
    x: Float[Array, "n h w inputs"], kernel: Float[Array, "k k inputs outputs"]
) -> Float[Array, "n h w outputs"]:
    """Convolve with XLA's own operation."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def blocked_convolve(
    x: Float[Array, "n h w inputs"], kernel: Float[Array, "k k inputs outputs"]
) -> Float[Array, "n h w outputs"]:
    """Convolve by one matrix product of blocks of pixels."""
    n, height, width, inputs = x.shape
    size, outputs = kernel.shape[0], kernel.shape[-1]
    tile = best_tile(size, outputs, height, width)
    reach, count = size // 2, _blocks_touched(size, tile)
    rows, columns = height // tile, width // tile
    # Output block i sees the padded image's blocks i … i + count - 1.
    after = count * tile - tile - reach
    x = jnp.pad(x, ((0, 0), (reach, after), (reach, after), (0, 0)))
    x = x.reshape((n, rows + count - 1, tile, columns + count - 1, tile, inputs))
    blocks = x.transpose((0, 1, 3, 2, 4, 5)).reshape((n, rows + count - 1, columns + count - 1, -1))
    near = [blocks[:, i : i + rows, j : j + columns] for i in range(count) for j in range(count)]
    y = jnp.concatenate(near, axis=-1).reshape((n * rows * columns, -1)) @ _matrix(kernel, tile)
    y = y.reshape((n, rows, columns, tile, tile, outputs)).transpose((0, 1, 3, 2, 4, 5))
    return y.reshape((n, height, width, outputs))


def best_tile(size: int, outputs: int, height: int, width: int) -> int:
    """Return the tile that divides the image and costs the least in copies and multiplications per pixel."""

    def cost(tile: int) -> float:
        window = (_blocks_touched(size, tile) * tile) ** 2
        return window * (COPY / tile**2 + outputs)

    return min((tile for tile in TILES if height % tile == 0 and width % tile == 0), key=cost)


def _blocks_touched(size: int, tile: int) -> int:
    """Return how many input blocks the window of one output block touches along one axis."""
    return -(-(tile + size - 1) // tile)


def _matrix(kernel: Float[Array, "k k inputs outputs"], tile: int) -> Float[Array, "window block"]:
    """Return the kernel as a matrix from a window of blocks to one block of outputs."""
    size, _, inputs, outputs = kernel.shape
    count = _blocks_touched(size, tile)
    # Window pixel a reaches output pixel b through tap a - b.
    a, b, tap = np.ogrid[: count * tile, :tile, :size]
    reach = jnp.asarray(a == b + tap, kernel.dtype)
    matrix = jnp.einsum("abk,cdl,klio->acibdo", reach, reach, kernel)
    matrix = matrix.reshape((count, tile, count, tile, inputs, tile * tile * outputs))
    return matrix.transpose((0, 2, 1, 3, 4, 5)).reshape((-1, tile * tile * outputs))
