"""Symmetric logarithm."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reverie.ops import symexp, symlog

NUMBERS = arrays(np.float32, 16, elements=st.floats(-1e8, 1e8, width=32)).map(jnp.asarray)
compiles = settings(deadline=None)  # the first example compiles


def test_symlog_of_known_numbers():
    x = jnp.float32([-np.e + 1, -1, 0, 1, np.e - 1, np.expm1(10)])
    np.testing.assert_allclose(symlog(x), [-1, -np.log(2), 0, np.log(2), 1, 10], rtol=1e-6)


@compiles
@given(NUMBERS)
def test_symexp_undoes_symlog(x):
    np.testing.assert_allclose(symexp(symlog(x)), x, rtol=3e-6, atol=1e-30)


@compiles
@given(NUMBERS)
def test_symlog_is_antisymmetric(x):
    np.testing.assert_array_equal(symlog(-x), -symlog(x))
