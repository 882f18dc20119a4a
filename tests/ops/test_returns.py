"""λ-returns and weights by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from reverie.ops import lambda_return
from reverie.ops.returns import cumulative_weight


def column(*numbers: float) -> jnp.ndarray:
    return jnp.float32(numbers)[:, None]


def test_lambda_return_by_hand():
    reward, value = column(9, 1, 2, 3), column(9, 10, 20, 30)
    live, trace = column(9, 0.9, 0.8, 0.5), jnp.full((4, 1), 0.95)
    last = 3 + 0.5 * 30  # both shares of the mix are the last value
    middle = 2 + 0.8 * (0.05 * 20 + 0.95 * last)
    first = 1 + 0.9 * (0.05 * 10 + 0.95 * middle)
    np.testing.assert_allclose(lambda_return(reward, live, trace, value), column(first, middle, last), rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 16, 17])
def test_lambda_return_is_the_recursion(steps):
    reward, live, trace, bootstrap = np.random.default_rng(0).uniform(size=(4, steps, 3)).astype(np.float32)
    expected = [bootstrap[-1]]
    for t in reversed(range(1, steps)):
        mixed = (1 - trace[t]) * bootstrap[t] + trace[t] * expected[0]
        expected.insert(0, reward[t] + live[t] * mixed)
    actual = lambda_return(*map(jnp.asarray, (reward, live, trace, bootstrap)))
    np.testing.assert_allclose(actual, np.stack(expected)[:-1], rtol=1e-6)


def test_a_dead_step_hides_all_that_follows():
    reward, trace, value = column(0, 1, 100, 100), jnp.full((4, 1), 0.95), column(100, 100, 100, 100)
    assert lambda_return(reward, column(1, 0, 1, 1), trace, value)[0, 0] == 1


def test_without_trace_a_return_is_one_step_and_the_next_value():
    returns = lambda_return(column(0, 1, 2), column(1, 0.5, 0.5), jnp.zeros((3, 1)), column(0, 10, 20))
    np.testing.assert_allclose(returns, column(6, 12))


def test_with_full_trace_a_return_is_the_discounted_sum():
    returns = lambda_return(column(0, 1, 2), column(1, 0.5, 0.5), jnp.ones((3, 1)), column(0, 10, 20))
    np.testing.assert_allclose(returns, column(1 + 0.5 * 12, 12))


def test_weight_is_the_product_of_continues_with_the_first():
    np.testing.assert_allclose(cumulative_weight(column(0.5, 1, 0.5, 0)), column(0.5, 0.5, 0.25, 0))
