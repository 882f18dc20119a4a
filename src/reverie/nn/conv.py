"""Convolutions (section 2): 5×5, stride 1, SAME, images as (N, height, width, channels)."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.nn.align import align
from reverie.nn.convolve import convolve
from reverie.nn.init import scaled_normal

KERNEL = 5


class Conv(eqx.Module):
    """A convolution with a (5, 5, in, out) kernel and a bias; height and width stay the same."""

    weight: Float[Array, "kernel kernel inputs outputs"]
    bias: Float[Array, " outputs"]

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray):
        self.weight = scaled_normal(key, (KERNEL, KERNEL, inputs, outputs), fan_in=KERNEL * KERNEL * inputs)
        self.bias = jnp.zeros((outputs,))

    def __call__(self, x: Float[Array, "n h w inputs"]) -> Float[Array, "n h w outputs"]:
        y = convolve(x.astype(self.weight.dtype), self.weight)
        return y + align(self.bias, y)


class UpsampleConv(Conv):
    """Nearest-neighbor 2× upsampling followed by the convolution: (n, h, w, in) → (n, 2h, 2w, out).

    It is computed as four 3×3 convolutions of the small image, one per output phase. Neighboring taps of the 5×5
    kernel fall on the same small pixel, so their weights can be added first: the same function with 2.8 times fewer
    multiplications.
    """

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray):
        super().__init__(inputs, outputs, key=key)

    def __call__(self, x: Float[Array, "n h w inputs"]) -> Float[Array, "n 2*h 2*w outputs"]:
        n, h, w, _ = x.shape
        rows = [_merge_taps(self.weight, phase, axis=0) for phase in (0, 1)]
        kernels = [_merge_taps(row, phase, axis=1) for row in rows for phase in (0, 1)]
        y = convolve(x.astype(self.weight.dtype), jnp.concatenate(kernels, axis=-1))
        y = y + align(jnp.tile(self.bias, 4), y)  # here, where a GPU's convolution adds it itself
        return y.reshape((n, h, w, 2, 2, -1)).transpose((0, 1, 3, 2, 4, 5)).reshape((n, 2 * h, 2 * w, -1))


def _merge_taps(weight: Array, phase: int, axis: int) -> Array:
    """Merge 5 taps along an axis into 3 on the small image: (0,1)(2,3)(4) for even outputs, (0)(1,2)(3,4) for odd."""
    tap = [jax.lax.index_in_dim(weight, i, axis) for i in range(KERNEL)]
    groups = [[0, 1], [2, 3], [4]] if phase == 0 else [[0], [1, 2], [3, 4]]
    return jnp.concatenate([sum(tap[i] for i in group[1:]) + tap[group[0]] for group in groups], axis=axis)


def max_pool(x: Float[Array, "n h w c"]) -> Float[Array, "n h//2 w//2 c"]:
    """Return the 2×2 maximum with stride 2; entries that tie for the maximum share the gradient."""
    n, h, w, c = x.shape
    return x.reshape((n, h // 2, 2, w // 2, 2, c)).max((2, 4))
