"""A recurrence whose weights get their gradient at its end: one large product each, instead of a small one per step.

Reverse mode through a scan adds to the gradient of every weight in every step, a product of two thin matrices and a
pass over numbers as many as the weights. Here a step only keeps what its products read and the gradient of what they
gave. After the last step, one product over all steps sums the same terms. The gradient of the inputs reads a weight
that is transposed once, before the first step. Forward-mode differentiation does not go through it.

May import: JAX only.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class Affine(NamedTuple):
    """y = W x + b on columns; None: without b."""

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
    """What `jax.lax.scan` stacks, with the gradient of `maps` deferred.

    Args:
        step: from (apply, others, state, input) to (state, output). `apply(name, x)` is the map of that name at x;
            each is applied exactly once in a step. It must not close over anything that is traced.
        maps: the affine maps, weight and bias of one dtype.
        others: parameters that are not in maps, for example scales. Their gradient is summed step by step.
        start: the first state.
        inputs: with steps on the first axis.

    Returns:
        The outputs, with steps on the first axis.

    Raises:
        ValueError: the gradient is asked for, and a map is applied twice or not at all.
    """
    return jax.lax.scan(partial(step, lambda name, x: maps[name](x), others), start, inputs)[1]


def _forward(step: Step, maps: Maps, others: Any, start: Any, inputs: Any) -> tuple[Any, tuple[Any, ...]]:
    # Without a barrier, XLA folds the transposition into every step's product, which is then several times slower.
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
        tap = taps[name]  # the gradient of what the map gave, in all steps
        weight = jnp.einsum("t...on,t...in->...oi", tap, seen[name])
        return Affine(weight, None if biases[name] is None else tap.sum((0, -1)))

    return {name: of(name) for name in taps}, others, start, inputs


recurrence.defvjp(_forward, _backward)


def _gradients_wanted(step: Step, maps: Maps, others: Any, start: Any, inputs: Any) -> dict[str, Array]:
    """Zeros in the shape of what every map gives in all steps; the gradient comes out as theirs."""
    steps = jax.tree.leaves(inputs)[0].shape[0]
    shapes: dict[str, jax.ShapeDtypeStruct] = {}

    def apply(name: str, x: Array) -> Array:
        if name in shapes:
            raise ValueError(f"expected every map once in a step, got {name!r} a second time; give it a second name.")
        y = maps[name](x)
        shapes[name] = jax.ShapeDtypeStruct((steps, *y.shape), y.dtype)
        return y

    jax.eval_shape(partial(step, apply), others, start, jax.tree.map(lambda x: x[0], inputs))
    if left := maps.keys() - shapes.keys():
        raise ValueError(f"expected every map once in a step, got none of {sorted(left)}; leave them out of maps.")
    return {name: jnp.zeros(shape.shape, shape.dtype) for name, shape in shapes.items()}


@jax.custom_jvp
def _tap(y: Array, zeros: Array) -> Array:
    """y + zeros, without computing it: `zeros` gets y's gradient."""
    return y


@_tap.defjvp
def _tap_derivative(values: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return values[0], tangents[0] + tangents[1]


@jax.custom_vjp
def _product(affine: Affine, turned: Array, x: Array) -> Array:
    """The map at x, whose gradient goes to x alone and reads the transposed weight."""
    return affine(x)


def _product_forward(affine: Affine, turned: Array, x: Array) -> tuple[Array, tuple[Affine, Array]]:
    return affine(x), (affine, turned)


def _product_backward(kept: tuple[Affine, Array], gradient: Array) -> tuple[Affine, Array, Array]:
    affine, turned = jax.tree.map(jnp.zeros_like, kept)
    return affine, turned, kept[1] @ gradient


_product.defvjp(_product_forward, _product_backward)
