"""A recurrence with deferred weight gradients has the gradients of the plain scan."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np

from reverie.nn.deferred import Affine, recurrence

STEPS, BLOCKS, WIDTH, N = 5, 2, 3, 4


def step(apply, scale, state, now):
    blocks = apply("blocks", (state * scale).reshape((BLOCKS, WIDTH, N))).reshape(state.shape)
    state = jnp.tanh(apply("dense", jnp.concatenate([state, now])) + blocks)
    return state, (state, state[0] * now[0])


def arguments():
    keys = iter(jax.random.split(jax.random.key(0), 9))
    draw = lambda *shape: jax.random.normal(next(keys), shape)  # noqa: E731
    features = BLOCKS * WIDTH
    maps = {"blocks": Affine(draw(BLOCKS, WIDTH, WIDTH), draw(BLOCKS, WIDTH)), "dense": Affine(draw(features, 8))}
    return maps, draw(features, 1), draw(features, N), draw(STEPS, 2, N)


def plain(maps, scale, start, inputs):
    apply = lambda name, x: maps[name](x)  # noqa: E731
    return jax.lax.scan(lambda state, now: step(apply, scale, state, now), start, inputs)[1]


def weighted(outputs):
    return sum(jnp.sum(x * jnp.arange(x.size).reshape(x.shape)) for x in outputs)


def test_values_and_gradients_are_those_of_the_scan():
    given = arguments()
    of = lambda f: jax.value_and_grad(lambda *x: weighted(f(*x)), argnums=(0, 1, 2, 3))(*given)  # noqa: E731
    actual, expected = of(lambda *x: recurrence(step, *x)), of(plain)
    assert expected[1][0]["dense"].bias is None
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert float(jnp.abs(y).max()) > 0
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5 * float(jnp.abs(y).max()))


def test_no_step_adds_to_the_gradient_of_a_weight():
    """In the gradient's program, no loop carries an array of a weight's shape that it adds to."""
    given = arguments()
    gradient = jax.make_jaxpr(jax.grad(lambda *x: weighted(recurrence(step, *x))))(*given)
    plainly = jax.make_jaxpr(jax.grad(lambda *x: weighted(plain(*x))))(*given)
    shape = given[0]["dense"].weight.shape
    assert not sums_of(gradient.jaxpr, shape)
    assert sums_of(plainly.jaxpr, shape)


def sums_of(jaxpr, shape, inside=False):
    """Additions of arrays of this shape, or its transpose, inside loops."""
    count = 0
    for equation in jaxpr.eqns:
        loop = inside or equation.primitive.name == "scan"
        if inside and equation.primitive.name in ("add", "add_any"):
            count += equation.outvars[0].aval.shape in (shape, shape[::-1])
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            count += sums_of(inner, shape, loop)
    return count
