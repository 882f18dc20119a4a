"""A recurrence for a GPU: few kernels per step, and the gradient of its weights after the last step.

Reverse mode through a plain scan stores every intermediate array of a step with a kernel of its own, and adds to the
gradient of every weight in every step. Here a step stores one array: its state and the outputs of its products. From
that array, everything between the products is computed again, where possible for all steps at once. The backward loop
stores one array too: the gradients of the products' outputs and of all else. After its last step, one product per
weight sums over all steps and rows, which is also more exact in bfloat16 than adding up step by step.

May import: JAX only.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Product(NamedTuple):
    """The map y = x W on rows; with blocks, each block of x has a weight of its own."""

    weight: Float[Array, "*blocks inputs outputs"]

    def __call__(self, x: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
        return _multiply(x, self.weight)

    @property
    def inputs(self) -> int:
        """The width of x."""
        return self.weight.shape[-2] * (self.weight.shape[0] if self.weight.ndim == 3 else 1)

    @property
    def outputs(self) -> int:
        """The width of y."""
        return self.weight.shape[-1] * (self.weight.shape[0] if self.weight.ndim == 3 else 1)


class Statistic(NamedTuple):
    """A function that reduces rows, of which the backward loop needs only the gradient."""

    compute: Callable[[Array], Array]
    pull: Callable[[Array, Array, Array], Array]  # from (value, x, gradient of the value) to the gradient of x


class Tools(NamedTuple):
    """How a step computes its products and statistics, each of them under a name and exactly once."""

    product: Callable[[str, Array], Array]
    statistic: Callable[[str, Statistic, Array], Array]


Products = dict[str, Product]
# From (tools, parameters, state, input, data) to the next state, each of them rows.
Step = Callable[[Tools, Array, Array, Array, Any], Array]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def recurrence(
    step: Step,
    output: str,
    products: Products,
    parameters: Float[Array, " parameters"],
    start: Float[Array, "n state"],
    keep: Float[Array, "t n 1"],
    inputs: Float[Array, "t n inputs"],
    data: Any,
) -> tuple[Float[Array, "t n state"], Float[Array, "t n output"]]:
    """Scan `step`; return all states and the results of one product.

    Arrays of one kind are packed into one, because a loop launches a kernel for each array that it reads or writes.

    Args:
        step: The function that computes a step. It must not close over traced values.
        output: The name of the product whose results are returned.
        products: The weights, of one dtype.
        parameters: The parameters of the elementwise part; a step gets them once per row, (N, parameters).
        start: The first state, in the products' dtype.
        keep: The factor of the state before each step: 0 forgets it.
        inputs: Inputs with a gradient.
        data: Inputs without a gradient, with steps on the first axis.
    """
    return _forward(step, output, products, parameters, start, keep, inputs, data)[0]


def _forward(
    step: Step, output: str, products: Products, parameters: Array, start: Array, keep: Array, inputs: Array, data: Any
) -> tuple[tuple[Array, Array], tuple[Any, ...]]:
    spread = _per_row(parameters, start.shape[0])

    def body(state: Array, now: tuple[Array, Array, Any]) -> tuple[Array, Array]:
        keep, now_inputs, now_data = now
        given: dict[str, Array] = {}

        def product(name: str, x: Array) -> Array:
            given[name] = products[name](x)
            return given[name]

        tools = Tools(product, lambda name, statistic, x: statistic.compute(x))
        after = step(tools, spread, state * keep, now_inputs, now_data)
        return after, _pack([after, *(given[name] for name in sorted(products))])

    kept = jax.lax.scan(body, start, (keep, inputs, data))[1]
    states, given = _known_values(kept, start.shape[-1], products)
    return (states, given[output]), (kept, products, parameters, start, keep, inputs, data)


def _backward(
    step: Step, output: str, residuals: tuple[Any, ...], gradient: tuple[Array, Array]
) -> tuple[Any, ...]:
    kept, products, parameters, start, keep, inputs, data = residuals
    names, width = sorted(products), start.shape[-1]
    spread = _per_row(parameters, start.shape[0])
    states, given = _known_values(kept, width, products)
    before = jnp.concatenate([start[None], states[:-1]]) * keep
    # Everything that does not depend on later steps, for all steps at once.
    seen, statistics = jax.vmap(partial(_replay, step, spread))(before, given, inputs, data)
    # Transposed once, instead of in every step.
    turned = jax.lax.optimization_barrier({name: jnp.swapaxes(products[name].weight, -1, -2) for name in names})

    def body(later: Array, now: tuple[Any, ...]) -> tuple[Array, Array]:
        (state_gradient, output_gradient), state, kept, statistics, keep, now_inputs, now_data = now
        given = _known_values(kept, width, products)[1]

        def again(state: Array, taps: dict[str, Array], spread: Array, now_inputs: Array) -> tuple[Array, Array]:
            results: dict[str, Array] = {}

            def product(name: str, x: Array) -> Array:
                results[name] = _product_again(given[name], turned[name], x, taps[name])
                return results[name]

            def statistic(name: str, statistic: Statistic, x: Array) -> Array:
                return _statistic_again(statistic, statistics[name], x)

            return step(Tools(product, statistic), spread, state, now_inputs, now_data), results[output]

        pull = jax.vjp(again, state, jax.tree.map(jnp.zeros_like, given), spread, now_inputs)[1]
        before, taps, *others = pull((later + state_gradient, output_gradient))
        return before * keep, _pack([*(taps[name] for name in names), *(x.astype(before.dtype) for x in others)])

    scanned = (gradient, before, kept, statistics, keep, inputs, data)
    first, packed = jax.lax.scan(body, jnp.zeros_like(start), scanned, reverse=True)
    widths = [*(products[name].outputs for name in names), spread.shape[-1], inputs.shape[-1]]
    *taps, spread_gradient, input_gradient = _unpack(packed, widths)
    weights = {
        name: Product(_weight_gradient(products[name].weight, seen[name], tap))
        for name, tap in zip(names, taps, strict=True)
    }
    parameter_gradient = spread_gradient.astype(parameters.dtype).sum((0, 1))
    return weights, parameter_gradient, first, None, input_gradient, None


recurrence.defvjp(_forward, _backward)


def _replay(
    step: Step, spread: Array, state: Array, given: dict[str, Array], inputs: Array, data: Any
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the inputs of the products and the statistics of a step whose products are known."""
    seen: dict[str, Array] = {}
    statistics: dict[str, Array] = {}

    def product(name: str, x: Array) -> Array:
        seen[name] = x
        return given[name]

    def statistic(name: str, statistic: Statistic, x: Array) -> Array:
        statistics[name] = statistic.compute(x)
        return statistics[name]

    step(Tools(product, statistic), spread, state, inputs, data)
    return seen, statistics


@jax.custom_vjp
def _product_again(y: Array, turned: Array, x: Array, tap: Array) -> Array:
    """Return `y`, the known product of x, whose gradient goes to x through the transposed weight, and to `tap`."""
    return y


def _product_again_backward(turned: Array, gradient: Array) -> tuple[None, None, Array, Array]:
    return None, None, _multiply(gradient, turned), gradient


_product_again.defvjp(lambda y, turned, x, tap: (y, turned), _product_again_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _statistic_again(statistic: Statistic, y: Array, x: Array) -> Array:
    """Return `y`, the known statistic of x, whose gradient goes to x."""
    return y


def _statistic_again_backward(statistic: Statistic, residuals: tuple[Array, Array], gradient: Array) -> Any:
    return None, statistic.pull(*residuals, gradient)


_statistic_again.defvjp(lambda statistic, y, x: (y, (y, x)), _statistic_again_backward)


def _multiply(x: Array, weight: Array) -> Array:
    if weight.ndim == 2:
        return x @ weight
    blocks = weight.shape[0]
    y = jnp.swapaxes(x.reshape((x.shape[0], blocks, -1)), 0, 1) @ weight
    return jnp.swapaxes(y, 0, 1).reshape((x.shape[0], -1))


def _weight_gradient(weight: Array, seen: Float[Array, "t n inputs"], tap: Float[Array, "t n outputs"]) -> Array:
    if weight.ndim == 2:
        return jnp.einsum("tni,tno->io", seen, tap)
    blocks = weight.shape[0]
    seen, tap = (x.reshape((*x.shape[:2], blocks, -1)) for x in (seen, tap))
    return jnp.einsum("tngi,tngo->gio", seen, tap)


def _per_row(parameters: Float[Array, " parameters"], rows: int) -> Float[Array, "n parameters"]:
    """Repeat the parameters for every row, so that a step computes their gradient without a sum."""
    return jnp.broadcast_to(parameters[None], (rows, parameters.shape[0]))


def _known_values(kept: Array, state: int, products: Products) -> tuple[Array, dict[str, Array]]:
    """Return the states and the outputs of all products from what the forward pass stored."""
    names = sorted(products)
    states, *given = _unpack(kept, [state, *(products[name].outputs for name in names)])
    return states, dict(zip(names, given, strict=True))


def _pack(arrays: Sequence[Array]) -> Float[Array, "n features"]:
    return jnp.concatenate(arrays, axis=-1)


def _unpack(packed: Float[Array, "*t n all"], widths: Sequence[int]) -> list[Array]:
    return jnp.split(packed, list(accumulate(widths))[:-1], axis=-1)
