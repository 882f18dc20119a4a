"""Convolutions (section 2): 5×5, stride 1, SAME, images as (N, height, width, channels)."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.nn.align import align
from reverie.nn.blocked_conv import blocked_convolve
from reverie.nn.init import scaled_normal
from reverie.nn.platform import in_textbook_form, tuned_for_cpu

KERNEL = 5
FRAMES = 16  # at most so many images are computed together on a CPU


class Conv(eqx.Module):
    """Convolution with a (5, 5, in, out) kernel; keeps height and width."""

    weight: Float[Array, "kernel kernel inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray):
        self.weight = scaled_normal(key, (KERNEL, KERNEL, inputs, outputs), fan_in=KERNEL * KERNEL * inputs)
        self.bias = jnp.zeros((outputs,))

    def __call__(self, x: Float[Array, "n h w inputs"]) -> Float[Array, "n h w outputs"]:
        y = _convolve(x.astype(self.weight.dtype), self.weight)
        return y + align(self.bias, y)


class UpsampleConv(Conv):
    """Nearest-neighbour 2× upsampling, then the convolution: (n, h, w, in) → (n, 2h, 2w, out).

    Computed as four 3×3 convolutions of the small image, one per output phase. Neighbouring taps of the 5×5
    kernel fall on the same small pixel, so that their weights can be added first: 2.8 times fewer products,
    the same function.
    """

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray):
        super().__init__(inputs, outputs, key=key)

    def __call__(self, x: Float[Array, "n h w inputs"]) -> Float[Array, "n 2*h 2*w outputs"]:
        if in_textbook_form():
            return super().__call__(jnp.repeat(jnp.repeat(x, 2, axis=-2), 2, axis=-3))
        n, h, w, _ = x.shape
        rows = [_merge_taps(self.weight, phase, axis=0) for phase in (0, 1)]
        kernels = [_merge_taps(row, phase, axis=1) for row in rows for phase in (0, 1)]
        y = _convolve(x.astype(self.weight.dtype), jnp.concatenate(kernels, axis=-1))
        y = y.reshape((n, h, w, 2, 2, -1)).transpose((0, 1, 3, 2, 4, 5)).reshape((n, 2 * h, 2 * w, -1))
        return y + align(self.bias, y)


def _merge_taps(weight: Array, phase: int, axis: int) -> Array:
    """The 5 taps along an axis as 3 on the small image: (0,1)(2,3)(4) for even outputs, (0)(1,2)(3,4) for odd."""
    tap = [jax.lax.index_in_dim(weight, i, axis) for i in range(KERNEL)]
    groups = [[0, 1], [2, 3], [4]] if phase == 0 else [[0], [1, 2], [3, 4]]
    return jnp.concatenate([sum(tap[i] for i in group[1:]) + tap[group[0]] for group in groups], axis=axis)


def _convolve(x: Array, kernel: Array) -> Array:
    return blocked_convolve(x, kernel) if tuned_for_cpu() else plain_convolve(x, kernel)


def plain_convolve(
    x: Float[Array, "n h w inputs"], kernel: Float[Array, "k k inputs outputs"]
) -> Float[Array, "n h w outputs"]:
    """Stride 1, SAME padding: XLA's own."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def map_frames(layers: Callable[..., Array], x: Float[Array, "n ..."]) -> Float[Array, "n ..."]:
    """`layers` on a batch, a few frames at a time on a CPU, so that they and their gradient stay in its cache.

    The gradient computes the layers of each few frames again, because that is faster than to read them back.
    """
    count = x.shape[0]
    few = max(size for size in range(1, FRAMES + 1) if count % size == 0)
    if few in (1, count) or not tuned_for_cpu():
        return layers(x)
    y = jax.lax.map(jax.checkpoint(lambda frames: layers(frames)), x.reshape((-1, few, *x.shape[1:])))
    return y.reshape((count, *y.shape[2:]))


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h//2 w//2 c"]:
    """2×2 maximum with stride 2; equal largest entries share the gradient."""
    n, h, w, c = x.shape
    return x.reshape((n, h // 2, 2, w // 2, 2, c)).max((2, 4))
