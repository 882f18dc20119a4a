"""Convolution as one matrix product of blocks of pixels: the CPU's way, with the numbers of the plain one.

A CPU spends most of a thin convolution on copying: a matrix product wants a k×k window laid out for every output
pixel, which copies each input k² times. Here an output is not a pixel but a block of tile×tile of them. A block needs
a (tile + k - 1)² window, which is a few whole input blocks side by side: for k = 5 and tile = 4, each input is
copied 4 times instead of 25. The kernel becomes a matrix from windows to blocks, with zeros where a window's pixel is
out of an output's reach: 2.6 times more multiplications, of which a CPU has plenty. The best tile follows from both.

May import: JAX only.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

TILES = (1, 2, 4)
# One copied number costs about as much as this many multiplications (measured, float32).
COPY = 60


def blocked_convolve(
    x: Float[Array, "n h w inputs"], kernel: Float[Array, "k k inputs outputs"]
) -> Float[Array, "n h w outputs"]:
    """Stride 1, SAME padding, k odd."""
    n, height, width, inputs = x.shape
    size, outputs = kernel.shape[0], kernel.shape[-1]
    tile = best_tile(size, outputs, height, width)
    reach, count = size // 2, _neighbours(size, tile)
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
    """The tile with the cheapest sum of copies and multiplications per pixel, among those that divide the image."""

    def cost(tile: int) -> float:
        window = (_neighbours(size, tile) * tile) ** 2
        return window * (COPY / tile**2 + outputs)

    return min((tile for tile in TILES if height % tile == 0 and width % tile == 0), key=cost)


def _neighbours(size: int, tile: int) -> int:
    """How many input blocks, along one axis, the window of one output block touches."""
    return -(-(tile + size - 1) // tile)


def _matrix(kernel: Float[Array, "k k inputs outputs"], tile: int) -> Float[Array, "window block"]:
    """The kernel as a matrix from a window of blocks to one block of outputs."""
    size, _, inputs, outputs = kernel.shape
    count = _neighbours(size, tile)
    # Window pixel a reaches output pixel b through tap a - b.
    a, b, tap = np.ogrid[: count * tile, :tile, :size]
    reach = jnp.asarray(a == b + tap, kernel.dtype)
    matrix = jnp.einsum("abk,cdl,klio->acibdo", reach, reach, kernel)
    matrix = matrix.reshape((count, tile, count, tile, inputs, tile * tile * outputs))
    return matrix.transpose((0, 2, 1, 3, 4, 5)).reshape((-1, tile * tile * outputs))
