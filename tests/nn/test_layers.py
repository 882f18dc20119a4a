"""Layers by their formulas."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from reverie.nn import (
    BlockLinear,
    Conv,
    Linear,
    RMSNorm,
    Trunk,
    UpsampleConv,
    compute_cast,
    map_frames,
    max_pool,
    plain_convolutions,
)
from reverie.nn.convolve import best_tile, blocked_convolve, plain_convolve
from reverie.nn.init import scaled_normal

KEY = jax.random.key(0)


def normal(*shape: int, seed: int = 1) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_weights_have_variance_one_over_fan_in_and_are_cut_at_two(scale):
    weights = np.asarray(scaled_normal(KEY, (400, 250), fan_in=400, scale=scale))
    np.testing.assert_allclose(weights.std(), scale / 20, rtol=0.01)
    assert abs(weights.mean()) < 0.001 * scale
    bound = 2 * 1.1368 / 20 * scale
    assert 0.98 * bound < np.abs(weights).max() <= bound * 1.0001
    truncated = scipy.stats.truncnorm(-2, 2, scale=1.1368 / 20 * scale)
    assert scipy.stats.kstest(weights.ravel()[:20_000], truncated.cdf).pvalue > 0.01


@pytest.mark.parametrize(
    ("layer", "fan_in"),
    [
        (lambda: Linear(100, 300, key=KEY), 100),
        (lambda: Conv(8, 64, key=KEY), 25 * 8),
        (lambda: BlockLinear(256, 512, 4, key=KEY), 256),
        (lambda: BlockLinear(256, 512, 4, shared=36, key=KEY), 4 * (64 + 36)),
    ],
)
def test_fan_in_counts_the_kernels_area_and_all_blocks(layer, fan_in):
    module = layer()
    np.testing.assert_allclose(np.std(module.weight), fan_in**-0.5, rtol=0.03)
    assert not np.any(module.bias)


def test_an_output_scale_of_zero_gives_zero():
    assert not np.any(Linear(4, 3, scale=0.0, key=KEY)(normal(2, 4)))


def test_linear():
    layer, x = Linear(4, 3, key=KEY), normal(2, 5, 4)
    layer = jax.tree.map(lambda leaf: leaf + 0.5, layer)
    np.testing.assert_allclose(layer(x), np.asarray(x) @ np.asarray(layer.weight) + 0.5, rtol=1e-5, atol=1e-6)


def test_partial_products_of_a_linear_layer_add_up():
    layer, x = Linear(7, 3, key=KEY), normal(2, 7)
    shares = layer.partial(x[:, :3], start=0) + layer.partial(x[:, 3:], start=3)
    np.testing.assert_allclose(shares, layer(x), rtol=1e-5, atol=1e-6)


def test_rms_norm_divides_by_the_root_mean_square():
    x = jnp.float32([[3.0, 4.0], [0.0, 0.0]])
    norm = jax.tree.map(lambda scale: 2 * scale, RMSNorm(2))
    np.testing.assert_allclose(norm(x), 2 * x / np.sqrt([[12.5 + 1e-4], [1e-4]]), rtol=1e-6)


def test_rms_norm_computes_in_float32():
    x = jnp.full((1, 8), 300.0, jnp.float16)  # whose squares overflow
    result = compute_cast(RMSNorm(8), jnp.float16)(x)
    assert result.dtype == jnp.float16
    np.testing.assert_allclose(result, np.ones((1, 8)), rtol=1e-3)


def test_block_linear_is_a_block_diagonal_product():
    layer, x = BlockLinear(6, 4, 2, key=KEY), normal(5, 6)
    blocks = [np.asarray(x)[:, 3 * g : 3 * g + 3] @ np.asarray(layer.weight)[g] for g in range(2)]
    np.testing.assert_allclose(layer(x), np.concatenate(blocks, -1), rtol=1e-5, atol=1e-6)


def test_shared_inputs_of_a_block_linear_are_concatenated_to_every_block():
    layer = jax.tree.map(lambda leaf: leaf + 0.1, BlockLinear(6, 4, 2, shared=5, key=KEY))
    x, shared = normal(3, 6), normal(3, 5, seed=2)
    blocks = [np.concatenate([x[:, 3 * g : 3 * g + 3], shared], -1) @ np.asarray(layer.weight)[g] for g in range(2)]
    np.testing.assert_allclose(layer(x, shared), np.concatenate(blocks, -1) + 0.1, rtol=1e-5, atol=1e-6)


def test_block_linear_needs_divisible_sizes():
    with pytest.raises(ValueError, match="inputs 6 and outputs 5 divisible by 2"):
        BlockLinear(6, 5, 2, key=KEY)


def test_upsample_conv_equals_repeating_pixels_and_a_convolution():
    layer, x = UpsampleConv(2, 3, key=KEY), normal(2, 3, 4, 2)
    layer = jax.tree.map(lambda leaf: leaf + 0.1, layer)
    large = jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
    expected = plain_convolve(large, layer.weight) + layer.bias[None, None, None]
    assert expected.shape == (2, 6, 8, 3)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize(("height", "width", "outputs"), [(16, 8, 3), (6, 4, 40), (3, 5, 200)])
def test_a_convolution_of_blocks_equals_the_plain_one(size, height, width, outputs):
    x = jax.random.normal(jax.random.key(0), (2, height, width, 3))
    kernel = jax.random.normal(jax.random.key(1), (size, size, 3, outputs))
    ours, backward = jax.vjp(blocked_convolve, x, kernel)
    plain, plain_backward = jax.vjp(plain_convolve, x, kernel)
    np.testing.assert_allclose(ours, plain, atol=1e-4)
    for a, b in zip(backward(plain), plain_backward(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4 * float(jnp.abs(b).max()))


def test_wide_convolutions_copy_more_and_multiply_less():
    """The best tile is large for few outputs, small for many, and always divides the image."""
    tiles = [best_tile(5, outputs, 64, 64) for outputs in (4, 16, 1000)]
    assert tiles == [4, 2, 1]
    assert best_tile(5, 4, 6, 64) == 2
    assert best_tile(5, 4, 6, 63) == 1


@pytest.mark.parametrize("count", [48, 7, 17])
def test_frames_mapped_a_few_at_a_time_are_the_same(count):
    conv = Conv(2, 3, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (count, 4, 4, 2))

    def loss(conv, x):
        return jnp.square(map_frames(lambda x: jax.nn.silu(conv(x)), x)).sum()

    ours = jax.grad(loss, argnums=(0, 1))(conv, x)
    with plain_convolutions():
        plain = jax.grad(loss, argnums=(0, 1))(conv, x)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-4)


def test_equal_corners_share_the_gradient_of_a_pool():
    x = jnp.asarray([[1.0, 3.0, 0.0, 0.0], [3.0, 3.0, 0.0, 0.0]])[None, ..., None]
    gradient = jax.grad(lambda x: (max_pool(x) * jnp.asarray([3.0, 8.0])[None, None, :, None]).sum())(x)
    np.testing.assert_allclose(gradient[0, ..., 0], [[0, 1, 2, 2], [1, 1, 2, 2]])


def test_max_pool():
    x = jnp.arange(16.0).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(max_pool(x)[0, ..., 0], [[5, 7], [13, 15]])


def test_a_trunk_layer_is_linear_norm_silu():
    trunk, x = Trunk(4, 3, 2, key=KEY), normal(2, 4)
    y = x
    for layer in trunk.layers:
        y = jax.nn.silu(layer.norm(layer.linear(y)))
    np.testing.assert_allclose(trunk(x), y, rtol=1e-6)


def test_parameters_stay_float32_and_products_take_the_compute_dtype():
    trunk = Trunk(4, 3, 2, key=KEY)
    assert {leaf.dtype for leaf in jax.tree.leaves(trunk)} == {jnp.dtype(jnp.float32)}
    assert compute_cast(trunk, jnp.bfloat16)(normal(2, 4)).dtype == jnp.bfloat16
