"""Means of many arrays at once."""

import jax.numpy as jnp
import numpy as np

from reverie.ops import means


def test_each_mean_keeps_its_name_among_arrays_of_other_shapes_and_dtypes():
    arrays = {"b": jnp.arange(6.0).reshape(2, 3), "a": jnp.asarray([True, False, False, False]), "c": jnp.ones((2, 3))}
    actual = means(arrays)
    assert list(actual) == ["b", "a", "c"]
    np.testing.assert_allclose([actual["b"], actual["a"], actual["c"]], [2.5, 0.25, 1])
