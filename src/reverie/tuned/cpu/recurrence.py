"""A recurrence that computes the gradient of its weights at its end, as one large product per weight.

Reverse mode through a plain scan adds to the gradient of every weight in every step: a product of two thin matrices and
a pass over as many numbers as there are weights. Here a step only stores the inputs of its products and the gradients
of their outputs; after the last step, one product over all steps sums the same terms. The gradient of the inputs reads
weights that are transposed once, before the first step. Forward-mode differentiation is not supported.

May import: JAX only.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Affine(NamedTuple):
    """The map y = W x + b on columns; without b if `bias` is None."""

    weight: Float[Array, "*blocks outputs inputs"]
    bias: Float[Array, "*blocks outputs"] | None = None

    def __call__(self, x: Float[Array, "*blocks inputs n"]) -> Float[Array, "*blocks outputs n"]:
        y = self.weight @ x.astype(self.weight.dtype)
        return y if self.bias is None else y + self.bias[..., None]


Maps = dict[str, Affine]
Apply = Callable[[str, Array], Array]
Step = Callable[[Apply, Any, Any, Any], tuple[Any, Any]]


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def recurrence(step: Step, maps: Maps, others: Any, start: Any, inputs: Any) -> Any:
    """Scan `step` over `inputs` and return the stacked outputs, with the gradient of `maps` deferred.

    Args:
        step: A function from (apply, others, state, input) to (state, output). `apply(name, x)` applies the map of
            that name to x; each map is applied exactly once in a step. It must not close over traced values.
        maps: The affine maps; the weight and the bias of a map have one dtype.
        others: Parameters that are not in maps, for example scales. Their gradient is summed step by step.
        start: The first state.
        inputs: The inputs, with steps on the first axis.

    Returns:
        The outputs, with steps on the first axis.

    Raises:
        ValueError: When the gradient is computed, if a step applies a map twice or not at all.
    """
    return jax.lax.scan(partial(step, lambda name, x: maps[name](x), others), start, inputs)[1]


def _forward(step: Step, maps: Maps, others: Any, start: Any, inputs: Any) -> tuple[Any, tuple[Any, ...]]:
    # Without the barrier, XLA folds the transposition into every step's product and makes it several times slower.
    turned = jax.lax.optimization_barrier({name: jnp.swapaxes(m.weight, -1, -2) for name, m in maps.items()})

    def tapped(taps: dict[str, Array], others: Any, start: Any, inputs: Any) -> tuple[Any, dict[str, Array]]:
        def body(state: Any, now: tuple[Any, dict[str, Array]]) -> tuple[Any, tuple[Any, dict[str, Array]]]:
            seen: dict[str, Array] = {}

            def apply(name: str, x: Array) -> Array:
                seen[name] = x = x.astype(maps[name].weight.dtype)
                return _tap(_product(maps[name], turned[name], x), now[1][name])

            state, output = step(apply, others, state, now[0])
            return state, (output, seen)

        return jax.lax.scan(body, start, (inputs, taps))[1]

    taps = _gradients_wanted(step, maps, others, start, inputs)
    outputs, pull, seen = jax.vjp(tapped, taps, others, start, inputs, has_aux=True)
    return outputs, (pull, seen, {name: m.bias for name, m in maps.items()})


def _backward(step: Step, kept: tuple[Any, ...], gradient: Any) -> tuple[Any, ...]:
    pull, seen, biases = kept
    taps, others, start, inputs = pull(gradient)

    def of(name: str) -> Affine:
        tap = taps[name]  # the gradient of the map's output, in all steps
        weight = jnp.einsum("t...on,t...in->...oi", tap, seen[name])
        return Affine(weight, None if biases[name] is None else tap.sum((0, -1)))

    return {name: of(name) for name in taps}, others, start, inputs


recurrence.defvjp(_forward, _backward)


def _gradients_wanted(step: Step, maps: Maps, others: Any, start: Any, inputs: Any) -> dict[str, Array]:
    """Return zeros shaped like the output of every map in all steps, whose gradient is the gradient of that output."""
    steps = jax.tree.leaves(inputs)[0].shape[0]
    shapes: dict[str, jax.ShapeDtypeStruct] = {}

    def apply(name: str, x: Array) -> Array:
        if name in shapes:
            raise ValueError(f"Expected every map once per step, got {name!r} a second time; give it a second name.")
        y = maps[name](x)
        shapes[name] = jax.ShapeDtypeStruct((steps, *y.shape), y.dtype)
        return y

    jax.eval_shape(partial(step, apply), others, start, jax.tree.map(lambda x: x[0], inputs))
    if left := maps.keys() - shapes.keys():
        raise ValueError(f"Expected every map once per step, got none of {sorted(left)}; leave them out of maps.")
    return {name: jnp.zeros(shape.shape, shape.dtype) for name, shape in shapes.items()}


@jax.custom_jvp
def _tap(y: Array, zeros: Array) -> Array:
    """Return y + zeros without computing the sum, so that `zeros` gets the gradient of y."""
    return y


@_tap.defjvp
def _tap_derivative(values: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return values[0], tangents[0] + tangents[1]


@jax.custom_vjp
def _product(affine: Affine, turned: Array, x: Array) -> Array:
    """Apply the map to x. The gradient goes to x alone and reads the transposed weight."""
    return affine(x)


def _product_forward(affine: Affine, turned: Array, x: Array) -> tuple[Array, tuple[Affine, Array]]:
    return affine(x), (affine, turned)


def _product_backward(kept: tuple[Affine, Array], gradient: Array) -> tuple[Affine, Array, Array]:
    affine, turned = jax.tree.map(jnp.zeros_like, kept)
    return affine, turned, kept[1] @ gradient


_product.defvjp(_product_forward, _product_backward)
