"""A recurrence for a GPU: few kernels per step, and the gradient of its weights after the last step.

Reverse mode through a plain scan stores every intermediate array of a step with a kernel of its own, and adds to the
gradient of every weight in every step. Here a step stores the outputs of its matrix products in
one array. The backward step computes what is elementwise between the products again, and stores the inputs of the
products and the gradients of their outputs in one array. After the last step, one product per
weight sums over all steps and rows, which is also more exact in bfloat16 than adding up step by step.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Product(NamedTuple):
    """The map y = x W on rows; with blocks, each block of x has a weight of its own."""

    weight: Float[Array, "*blocks inputs outputs"]

    def __call__(self, x: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
        return _multiply(x, self.weight)


Products = dict[str, Product]
Apply = Callable[[str, Array], Array]
# From (apply, parameters, state, input, data) to (state, output), each of them rows.
Step = Callable[[Apply, Array, Array, Array, Any], tuple[Array, Array]]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(
    step: Step,
    products: Products,
    parameters: Float[Array, " parameters"],
    start: Float[Array, "n state"],
    inputs: Float[Array, "t n inputs"],
    data: Any,
) -> tuple[Float[Array, "t n state"], Float[Array, "t n output"]]:
    """Scan `step` over `inputs` and `data`; return all states and outputs.

    Arrays of one kind are packed into one, because a loop launches a kernel for each array that it reads or writes.

    Args:
        step: A function from (apply, parameters, state, input, data) to (state, output). `apply(name, x)` applies the
            product of that name to x; each is applied exactly once in a step. It must not close over traced values.
        products: The weights, of one dtype.
        parameters: The parameters of the elementwise part; a step gets them once per row, (N, parameters).
        start: The first state, in the products' dtype.
        inputs: Inputs with a gradient.
        data: Inputs without a gradient, with steps on the first axis.
    """

    def body(state: Array, now: tuple[Array, Any]) -> tuple[Array, tuple[Array, Array]]:
        after, output = step(lambda name, x: products[name](x), spread, state, *now)
        return after, (after, output)

    spread = _per_row(parameters, start.shape[0])
    return jax.lax.scan(body, start, (inputs, data))[1]


def _forward(
    step: Step, products: Products, parameters: Array, start: Array, inputs: Array, data: Any
) -> tuple[tuple[Array, Array], tuple[Any, ...]]:
    spread = _per_row(parameters, start.shape[0])

    def body(state: Array, now: tuple[Array, Any]) -> tuple[Array, tuple[Array, Array, Array]]:
        given: dict[str, Array] = {}

        def apply(name: str, x: Array) -> Array:
            given[name] = products[name](x)
            return given[name]

        after, output = step(apply, spread, state, *now)
        return after, (after, output, _pack([given[name] for name in sorted(products)]))

    states, outputs, given = jax.lax.scan(body, start, (inputs, data))[1]
    return (states, outputs), (states, given, products, parameters, start, inputs, data)


def _backward(step: Step, residuals: tuple[Any, ...], gradient: tuple[Array, Array]) -> tuple[Any, ...]:
    states, given, products, parameters, start, inputs, data = residuals
    names = sorted(products)
    spread = _per_row(parameters, start.shape[0])
    outputs = [_outputs(products[name]) for name in names]
    before = jnp.concatenate([start[None], states[:-1]])
    # Transposed once, instead of in every step.
    turned = jax.lax.optimization_barrier({name: jnp.swapaxes(products[name].weight, -1, -2) for name in names})

    def body(after: Array, now: tuple[Any, ...]) -> tuple[Array, tuple[Array, Array, Array]]:
        state, packed, now_inputs, now_data, (state_gradient, output_gradient) = now
        known = dict(zip(names, _unpack(packed, outputs), strict=True))

        def again(taps: Array, spread: Array, state: Array, now_inputs: Array) -> tuple[Any, Array]:
            seen: dict[str, Array] = {}
            tap = dict(zip(names, _unpack(taps, outputs), strict=True))

            def apply(name: str, x: Array) -> Array:
                seen[name] = x
                return _known(known[name], turned[name], x, tap[name])

            result = step(apply, spread, state, now_inputs, now_data)
            return result, _pack([seen[name] for name in names])

        pull, seen = jax.vjp(again, jnp.zeros_like(packed), spread, state, now_inputs, has_aux=True)[1:]
        taps, spread_gradient, before, input_gradient = pull((after + state_gradient, output_gradient))
        return before, (_pack([seen, taps]), spread_gradient, input_gradient)

    scanned = (before, given, inputs, data, gradient)
    first, (packed, spread_gradient, input_gradient) = jax.lax.scan(body, jnp.zeros_like(start), scanned, reverse=True)
    parts = _unpack(packed, [_inputs(products[name]) for name in names] + outputs)
    weights = {
        name: Product(_weight_gradient(products[name].weight, seen, tap))
        for name, seen, tap in zip(names, parts[: len(names)], parts[len(names) :], strict=True)
    }
    return weights, spread_gradient.sum((0, 1)), first, input_gradient, None


recurrence.defvjp(_forward, _backward)


@jax.custom_vjp
def _known(y: Array, turned: Array, x: Array, tap: Array) -> Array:
    """Return `y`, the known product of x, whose gradient goes to x through the transposed weight, and to `tap`."""
    return y


def _known_forward(y: Array, turned: Array, x: Array, tap: Array) -> tuple[Array, Array]:
    return y, turned


def _known_backward(turned: Array, gradient: Array) -> tuple[Array, Array, Array, Array]:
    return jnp.zeros_like(gradient), jnp.zeros_like(turned), _multiply(gradient, turned), gradient


_known.defvjp(_known_forward, _known_backward)


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


def _inputs(product: Product) -> int:
    return product.weight.shape[-2] * (product.weight.shape[0] if product.weight.ndim == 3 else 1)


def _outputs(product: Product) -> int:
    return product.weight.shape[-1] * (product.weight.shape[0] if product.weight.ndim == 3 else 1)


def _per_row(parameters: Float[Array, " parameters"], rows: int) -> Float[Array, "n parameters"]:
    """Repeat the parameters for every row, so that a step computes their gradient without a sum."""
    return jnp.broadcast_to(parameters[None], (rows, parameters.shape[0]))


def _pack(arrays: Sequence[Array]) -> Float[Array, "n features"]:
    return jnp.concatenate(arrays, axis=-1)


def _unpack(packed: Float[Array, "*t n all"], widths: Sequence[int]) -> list[Array]:
    ends = [sum(widths[: i + 1]) for i in range(len(widths))]
    return jnp.split(packed, ends[:-1], axis=-1)
