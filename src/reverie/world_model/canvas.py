"""Images of any size on one canvas that four halvings divide evenly (section 3), and back.

A side of less than 48 pixels is enlarged by repeating pixels, then both are filled up to the next multiple of 16, as a
convolution pads its input, on the right and at the bottom. Several images share the largest canvas. What the decoder
paints is read off in the image's own size, the mean of what a pixel was enlarged to: every pixel counts once in the
loss, what was filled up counts nothing. Nothing at all happens to images with sides of 48, 64, … 256.

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
    """Height and width that all images fit on.

    Raises:
        InputError: they are larger than the encoder takes.
    """
    sizes = [tuple(_filled(side) for side in shape[:2]) for shape in shapes]
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    if min(height, width) > LARGEST:
        raise InputError(
            f"Images may have at most {LARGEST} pixels on their shorter side, and so may the canvas that all fit on, "
            f"which is {height}×{width} here. Resize them with gymnasium.wrappers.ResizeObservation."
        )
    return height, width


def place(image: Float[Array, "*batch h w c"], canvas: Size) -> Float[Array, "*batch H W c"]:
    """The image enlarged by whole factors, as far as the canvas goes, and filled up with zeros."""
    for axis, side, space in zip((-3, -2), image.shape[-3:-1], canvas, strict=True):
        if space // side > 1:
            image = jnp.repeat(image, space // side, axis=axis)
        if missing := space - image.shape[axis]:
            edges = [(0, 0)] * image.ndim
            edges[axis] = (0, missing)
            image = jnp.pad(image, edges)
    return image


def take(painted: Float[Array, "*batch H W c"], size: Size) -> Float[Array, "*batch h w c"]:
    """The image of this size that stands on the canvas: the inverse of `place`."""
    *batch, height, width, channels = painted.shape
    rows, columns = height // size[0], width // size[1]
    if (height, width) != (rows * size[0], columns * size[1]):
        painted = painted[..., : rows * size[0], : columns * size[1], :]
    if rows > 1 or columns > 1:
        painted = painted.reshape((*batch, size[0], rows, size[1], columns, channels)).mean((-4, -2))
    return painted


def _filled(side: int) -> int:
    """The smallest side of a canvas for this one."""
    enlarged = side * -(-SMALLEST // side)
    return -(-enlarged // FACTOR) * FACTOR
