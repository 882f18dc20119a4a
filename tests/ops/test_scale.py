"""The return scale by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from reverie.ops import ReturnScale

RETURNS = jnp.arange(101.0)  # its p-th percentile is p


def updated(scale: ReturnScale, returns: jnp.ndarray = RETURNS) -> ReturnScale:
    return scale.update(returns, rate=0.01, percentiles=(5.0, 95.0))


def test_scale_moves_from_zero_towards_the_percentiles_without_bias_correction():
    once = updated(ReturnScale.initial())
    twice = updated(once)
    np.testing.assert_allclose((once.low, once.high), (0.05, 0.95), rtol=1e-6)
    np.testing.assert_allclose((twice.low, twice.high), (0.0995, 1.8905), rtol=1e-6)


@pytest.mark.parametrize(("low", "high", "divisor"), [(0.0, 0.0, 1.0), (-0.2, 0.3, 1.0), (-5.0, 15.0, 20.0)])
def test_divisor_is_the_range_and_never_below_one(low, high, divisor):
    assert ReturnScale(jnp.float32(low), jnp.float32(high)).divisor == divisor
