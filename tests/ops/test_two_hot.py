"""Two-hot weights and their decoding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reverie.ops import decode_two_hot, neighbours, symexp_bins, two_hot

BINS = symexp_bins(255)
FIVE = symexp_bins(5)
MIDDLE, LAST = float(FIVE[3]), float(FIVE[4])
SMALL = np.float32([-4, -1, 0, 1, 4])
weights_of = jax.jit(lambda target: two_hot(target, BINS))


def test_bins_are_antisymmetric_to_the_last_bit_and_reach_symexp_20():
    assert BINS.shape == (255,)
    assert BINS[127] == 0
    np.testing.assert_array_equal(BINS, -BINS[::-1])
    np.testing.assert_allclose(BINS[[-1, -2]], np.expm1([20, 20 - 40 / 254]), rtol=1e-6)
    assert np.all(np.diff(BINS) > 0)


@pytest.mark.parametrize("count", [1, 2, 254])
def test_bins_need_an_odd_number(count):
    with pytest.raises(ValueError, match=f"odd number of bins, at least 3.*got {count}"):
        symexp_bins(count)


@pytest.mark.parametrize(
    ("target", "weights"),
    [
        (0.0, [0, 0, 1, 0, 0]),
        (MIDDLE, [0, 0, 0, 1, 0]),
        (0.25 * MIDDLE, [0, 0, 0.75, 0.25, 0]),
        (-0.75 * MIDDLE - 0.25 * LAST, [0.25, 0.75, 0, 0, 0]),
        (LAST, [0, 0, 0, 0, 1]),
        (1e9, [0, 0, 0, 0, 1]),
        (-1e9, [1, 0, 0, 0, 0]),
        (np.inf, [0, 0, 0, 0, 1]),
    ],
)
def test_weight_is_split_linearly_between_the_two_neighbours(target, weights):
    np.testing.assert_allclose(two_hot(jnp.float32(target), FIVE), weights, rtol=1e-6)


@settings(deadline=None)  # the first example compiles
@given(st.floats(-4e8, 4e8, width=32))
def test_weights_sum_to_one_and_decode_to_the_target(target):
    weights = np.asarray(weights_of(np.float32(target)), np.float64)
    assert np.all(weights >= 0)
    assert np.count_nonzero(weights) <= 2
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-6)
    np.testing.assert_allclose(weights @ BINS, target, rtol=1e-5, atol=1e-6)


def test_neighbours_are_found_at_and_next_to_every_bin():
    others = BINS[BINS != 0]  # the numbers next to 0 are flushed to 0
    for target in (BINS, np.nextafter(others, np.float32(-np.inf)), np.nextafter(others, np.float32(np.inf))):
        expected = np.clip(np.searchsorted(BINS, target, side="right") - 1, 0, 254)
        np.testing.assert_array_equal(neighbours(jnp.asarray(target), BINS).below, expected)


def test_symmetric_probabilities_decode_to_exactly_zero():
    uniform = jnp.full((255,), 1 / 255)
    peaked = jax.nn.softmax(-jnp.abs(jnp.linspace(-3.0, 3.0, 255)))
    peaked = (peaked + peaked[::-1]) / 2
    assert decode_two_hot(uniform, BINS) == 0
    assert decode_two_hot(peaked, BINS) == 0


def test_decoding_is_the_expected_bin():
    assert decode_two_hot(jnp.float32([0.1, 0.2, 0.3, 0.4, 0.0]), SMALL) == pytest.approx(-0.2, abs=1e-6)
