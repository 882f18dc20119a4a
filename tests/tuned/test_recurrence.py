"""A recurrence with deferred weight gradients has the gradients of the plain scan."""

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest

from reverie.tuned.cpu.recurrence import Affine, recurrence
from reverie.tuned.gpu.recurrence import Product
from reverie.tuned.gpu.recurrence import recurrence as gpu_recurrence

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


@pytest.mark.parametrize(("dtype", "digits"), [(jnp.float32, 1e-5), (jnp.bfloat16, 5e-2)])
def test_values_and_gradients_are_those_of_the_scan(dtype, digits):
    given = jax.tree.map(lambda x: x.astype(dtype), arguments())
    of = lambda f: jax.value_and_grad(lambda *x: weighted(f(*x)), argnums=(0, 1, 2, 3))(*given)  # noqa: E731
    actual, expected = of(lambda *x: recurrence(step, *x)), of(plain)
    assert expected[1][0]["dense"].bias is None
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert x.dtype == y.dtype
        x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
        assert np.abs(y).max() > 0
        np.testing.assert_allclose(x, y, atol=digits * np.abs(y).max())


def test_no_step_adds_to_the_gradient_of_a_weight():
    """In the gradient's program, no loop adds arrays of a weight's shape, as the plain scan's does."""
    given = arguments()
    gradient = jax.make_jaxpr(jax.grad(lambda *x: weighted(recurrence(step, *x))))(*given)
    plainly = jax.make_jaxpr(jax.grad(lambda *x: weighted(plain(*x))))(*given)
    for map_ in given[0].values():
        assert not sums_of(gradient.jaxpr, map_.weight.shape)
        assert sums_of(plainly.jaxpr, map_.weight.shape)


@pytest.mark.parametrize(("names", "told"), [(["dense", "dense"], "second time"), ([], r"none of \['dense'\]")])
def test_a_map_that_is_not_applied_once_is_refused(names, told):
    def wrong(apply, others, state, now):
        for name in names:
            state = apply(name, state)
        return state, state

    given = {"dense": Affine(jnp.eye(3))}, (), jnp.ones((3, N)), jnp.ones((STEPS, 1))
    with pytest.raises(ValueError, match=told):
        jax.grad(lambda maps: recurrence(wrong, maps, *given[1:]).sum())(given[0])


def sums_of(jaxpr, shape, inside=False):
    """Additions of arrays of this shape, or its transpose, inside loops."""
    count = 0
    for equation in jaxpr.eqns:
        loop = inside or equation.primitive.name == "scan"
        if inside and equation.primitive.name in ("add", "add_any"):
            count += equation.outvars[0].aval.shape in (shape, (*shape[:-2], shape[-1], shape[-2]))
        for inner in jax.extend.core.jaxprs_in_params(equation.params):
            count += sums_of(inner, shape, loop)
    return count


def test_gpu_form_sums_weight_gradients_exactly_in_bfloat16():
    """The sum over 64 steps is rounded once. The plain scan rounds it after each step and is further off."""
    keys = jax.random.split(jax.random.key(0), 3)
    inputs, slopes = (jax.random.normal(key, (64, 16, 32), jnp.bfloat16) for key in keys[:2])
    weight = jax.random.normal(keys[2], (32, 32), jnp.bfloat16)
    start, keep = jnp.zeros((16, 32), jnp.bfloat16), jnp.ones((64, 16, 1), jnp.bfloat16)

    def deferred(weight):
        step = lambda tools, parameters, state, inputs, data: tools.product("only", inputs)  # noqa: E731
        return gpu_recurrence(step, "only", {"only": Product(weight)}, jnp.zeros(1), start, keep, inputs, None)[0]

    def plain(weight):
        return jax.lax.scan(lambda state, x: (state, x @ weight), start, inputs)[1]

    expected = np.einsum("tni,tno->io", np.float64(inputs), np.float64(slopes))
    for form, smallest, largest in ((deferred, 0.001, 0.003), (plain, 0.006, 0.02)):
        actual = np.float64(jax.vjp(form, weight)[1](slopes)[0])
        assert smallest < np.linalg.norm(actual - expected) / np.linalg.norm(expected) < largest
