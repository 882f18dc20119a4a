"""Named numbers in one array."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.training.packed import Packed


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_program_returns_its_numbers_as_one_array(shape):
    numbers = {"loss": jnp.full(shape, 0.1), "norm": jnp.arange(3.0) if shape else jnp.float32(7)}
    packed = jax.jit(Packed.of)(numbers)
    assert [leaf.shape for leaf in jax.tree.leaves(packed)] == [(*shape, 2)]
    assert list(packed) == ["loss", "norm"]
    for read in (dict(packed), dict(zip(packed, packed.values(), strict=True)), jax.device_get(packed)):
        for name, value in numbers.items():
            np.testing.assert_array_equal(read[name], value)
