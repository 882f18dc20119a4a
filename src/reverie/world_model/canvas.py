"""Images of any size on a canvas that can be halved four times (section 3), and back.

A side shorter than 48 pixels is enlarged by repeating pixels. Both sides are then zero-padded to the next multiple of
16, on the right and at the bottom. Several images share the largest canvas. The decoder's canvas is cropped and
averaged back to the image's own size, so that every pixel counts once in the loss and the padding does not count.
Images with sides of 48, 64, … 256 pixels are left as they are.

May import: `errors`.
"""

from collections.abc import Iterable

import jax.numpy as jnp
from jaxtyping import Array, Float

from reverie.errors import InputError

HALVINGS = 4
FACTOR = 2**HALVINGS
SMALLEST, LARGEST = 3 * FACTOR, 16 * FACTOR  # pixels of a canvas's shorter side

Size = tuple[int, int]


def canvas_size(shapes: Iterable[tuple[int, int, int]]) -> Size:
    """Return the height and width of the smallest canvas that all images fit on.

    Raises:
        InputError: The canvas would be larger than the encoder accepts.
    """
    sizes = [tuple(_filled(side) for side in shape[:2]) for shape in shapes]
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    if min(height, width) > LARGEST:
        raise InputError(
            f"Images may have at most {LARGEST} pixels on their shorter side, and so may the canvas that they share, "
            f"which is {height}×{width} here. Resize them with gymnasium.wrappers.ResizeObservation."
        )
    return height, width


def place(image: Float[Array, "*batch h w c"], canvas: Size) -> Float[Array, "*batch H W c"]:
    """Enlarge the image by whole factors as far as the canvas allows, and pad it with zeros."""
    for axis, side, space in zip((-3, -2), image.shape[-3:-1], canvas, strict=True):
        if space // side > 1:
            image = jnp.repeat(image, space // side, axis=axis)
        if missing := space - image.shape[axis]:
            edges = [(0, 0)] * image.ndim
            edges[axis] = (0, missing)
            image = jnp.pad(image, edges)
    return image


def take(painted: Float[Array, "*batch H W c"], size: Size) -> Float[Array, "*batch h w c"]:
    """Return the image of this size from its canvas: the inverse of `place`."""
    *batch, height, width, channels = painted.shape
    rows, columns = height // size[0], width // size[1]
    if (height, width) != (rows * size[0], columns * size[1]):
        painted = painted[..., : rows * size[0], : columns * size[1], :]
    if rows > 1 or columns > 1:
        painted = painted.reshape((*batch, size[0], rows, size[1], columns, channels)).mean((-4, -2))
    return painted


def _filled(side: int) -> int:
    """Return the shortest canvas side for an image side."""
    enlarged = side * -(-SMALLEST // side)
    return -(-enlarged // FACTOR) * FACTOR
