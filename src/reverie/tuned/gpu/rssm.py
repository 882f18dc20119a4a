"""`RSSM.observe` on rows (N, features) with five matrix products per step. The same keys give the same samples."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from reverie.distributions import Categorical
from reverie.nn.norm import EPSILON
from reverie.tuned.gpu.recurrence import Product, Statistic, Tools, recurrence
from reverie.world_model import RSSM, Latent


def observe(
    rssm: RSSM,
    latent: Latent,
    embedding: Float[Array, "b t embedding"],
    action: Float[Array, "b t actions"],
    is_first: Bool[Array, "b t"],
    key: PRNGKeyArray | None,
) -> tuple[Latent, Float[Array, "b t groups classes"]]:
    """Compute `RSSM.observe`.

    Two layers read the new deter: the posterior's in this step and the sequence model's in the next. They share one
    product, and the sequence model's part of the result is carried in the state.
    """
    sizes, dtype = Sizes.of(rssm), rssm.gates.weight.dtype
    deter, stoch = latent.deter.astype(dtype), latent.flat_stoch.astype(dtype)
    start = jnp.concatenate([deter, stoch, deter @ rssm.deter_in.linear.weight], axis=-1)
    keep = jnp.swapaxes(~is_first, 0, 1)[..., None].astype(dtype)
    inputs = jnp.swapaxes(_inputs(rssm, embedding, action, is_first), 0, 1)
    noise = None if key is None else jax.random.uniform(key, (*is_first.shape[::-1], sizes.groups))
    outputs = recurrence(
        partial(_step, sizes), "logits", _products(rssm, sizes), _parameters(rssm), start, keep, inputs, noise
    )
    states, logits = (jnp.swapaxes(x, 0, 1) for x in outputs)
    logits = logits + rssm.posterior_out.bias[None, None]
    deters, stochs, _ = _split(states, sizes.state)
    shape = (*is_first.shape, sizes.groups, sizes.classes)
    return Latent(deters, stochs.reshape(shape)), logits.reshape(shape)


class Sizes(NamedTuple):
    """The constants of a step."""

    deter: int
    blocks: int
    units: int
    groups: int
    classes: int
    unimix: float

    @classmethod
    def of(cls, rssm: RSSM) -> "Sizes":
        blocks, units = rssm.gates.weight.shape[0], rssm.deter_in.linear.bias.shape[0]
        return cls(rssm.deter, blocks, units, rssm.groups, rssm.classes, rssm.unimix)

    @property
    def state(self) -> list[int]:
        """The widths of deter, stoch, and what the sequence model's first layer makes of deter."""
        return [self.deter, self.groups * self.classes, self.units]

    @property
    def inputs(self) -> list[int]:
        """The widths of what is added to the sequence model's and the posterior's hidden layer."""
        return [self.deter, self.units]

    @property
    def parameters(self) -> list[int]:
        """The widths of biases and scales, in the order of `_parameters`."""
        entering = 2 * self.units
        return [entering, entering, self.deter, 3 * self.deter, self.units, self.groups * self.classes]


def _products(rssm: RSSM, sizes: Sizes) -> dict[str, Product]:
    # What the blocks share comes last in their input: the trunks of deter, stoch and, apart from the loop, the action.
    inner = sizes.deter // sizes.blocks + 2 * sizes.units
    posterior = rssm.posterior_trunk.linear.weight[: sizes.deter]
    return {
        "stoch": Product(rssm.stoch_in.linear.weight),
        "hidden": Product(rssm.hidden.weight[:, :inner]),
        "gates": Product(rssm.gates.weight),
        "deter": Product(jnp.concatenate([rssm.deter_in.linear.weight, posterior], axis=1)),
        "logits": Product(rssm.posterior_out.weight),
    }


def _parameters(rssm: RSSM) -> Float[Array, " parameters"]:
    """Return the biases and scales of the elementwise part as one vector, in the order in which a step reads them."""
    parts = [
        *(rssm.deter_in.linear.bias, rssm.stoch_in.linear.bias, rssm.deter_in.norm.scale, rssm.stoch_in.norm.scale),
        *(rssm.hidden_norm.scale, rssm.gates.bias, rssm.posterior_trunk.norm.scale, rssm.posterior_out.bias),
    ]
    return jnp.concatenate([part.astype(jnp.float32) for part in parts])


def _inputs(rssm: RSSM, embedding: Array, action: Array, is_first: Array) -> Float[Array, "b t inputs"]:
    """Return everything that does not depend on the previous state, for all steps at once."""
    posterior = rssm.posterior_trunk.linear
    dense = rssm.hidden.weight[:, -rssm.action_in.linear.bias.shape[0] :]
    dense = jnp.moveaxis(dense, 0, 1).reshape((-1, rssm.deter))
    from_action = rssm.action_in(action * ~is_first[..., None]) @ dense + rssm.hidden.bias[None, None]
    from_embedding = posterior.partial(embedding, start=rssm.deter) + posterior.bias[None, None]
    return jnp.concatenate([from_action, from_embedding], axis=-1)


def _step(sizes: Sizes, tools: Tools, parameters: Array, state: Array, inputs: Array, noise: Any) -> Array:
    """Return deter, stoch and `read` after a step: what the sequence model reads of the new deter."""
    enter, enter_scale, hidden_scale, gate, posterior_scale, logit = _split(parameters, sizes.parameters)
    deter, stoch, read = _split(state, sizes.state)
    from_action, from_embedding = _split(inputs, sizes.inputs)
    # The two trunks that feed the sequence model are normalized together.
    entered = jnp.concatenate([read, tools.product("stoch", stoch)], axis=-1) + enter.astype(state.dtype)
    pair = (-1, 2, sizes.units)
    entered = _finish(tools, "entered", entered.reshape(pair), enter_scale.reshape(pair)).reshape(entered.shape)
    hidden = tools.product("hidden", _for_blocks(deter, entered, sizes.blocks)) + from_action
    hidden = _finish(tools, "hidden", hidden, hidden_scale)
    deter = _memory(tools.product("gates", hidden) + gate.astype(state.dtype), deter, sizes.blocks)
    read, pre = jnp.split(tools.product("deter", deter), [sizes.units], axis=-1)
    pre = _finish(tools, "posterior", pre + from_embedding, posterior_scale)
    logits = tools.product("logits", pre) + logit.astype(state.dtype)
    stoch = _draw(tools, logits.reshape((-1, sizes.groups, sizes.classes)), sizes.unimix, noise)
    return jnp.concatenate([deter, stoch.astype(state.dtype).reshape(stoch.shape[0], -1), read], axis=-1)


def _for_blocks(deter: Float[Array, "n deter"], entered: Float[Array, "n shared"], blocks: int) -> Array:
    """Return the input of each block: its slice of deter, and what all blocks share."""
    rows = deter.shape[0]
    shared = jnp.broadcast_to(entered[:, None], (rows, blocks, entered.shape[-1]))
    return jnp.concatenate([deter.reshape((rows, blocks, -1)), shared], axis=-1).reshape((rows, -1))


def _memory(gates: Float[Array, "n gates"], deter: Float[Array, "n deter"], blocks: int) -> Float[Array, "n deter"]:
    """Return the new deter."""
    reset, candidate, update = jnp.moveaxis(gates.reshape((deter.shape[0], blocks, 3, -1)), 2, 0)
    candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
    update = jax.nn.sigmoid(update - 1)
    return (update * candidate + (1 - update) * deter.reshape(update.shape)).reshape(deter.shape)


def _draw(
    tools: Tools, logits: Float[Array, "n groups classes"], unimix: float, noise: Float[Array, "n groups"] | None
) -> Float[Array, "n groups classes"]:
    """Return a sample, or the mode without noise, with the gradient of `Categorical.straight_through`."""
    belief = Categorical(logits, unimix)
    sample = belief.mode() if noise is None else belief.pick(noise)
    probs = tools.statistic("probs", PROBABILITIES, logits.astype(jnp.float32)) * (1 - unimix)
    one_hot = jax.lax.stop_gradient(jax.nn.one_hot(sample, belief.classes))
    return one_hot + (probs - jax.lax.stop_gradient(probs))


def _finish(tools: Tools, name: str, x: Float[Array, "*n features"], scale: Float[Array, "*n features"]) -> Array:
    """Apply RMSNorm, with a scale for every row, and SiLU."""
    wide = x.astype(jnp.float32)
    normed = wide * tools.statistic(name, INVERSE_RMS, wide) * scale.astype(jnp.float32)
    return jax.nn.silu(normed.astype(x.dtype))


def _inverse_rms(x: Float[Array, "*n features"]) -> Float[Array, "*n 1"]:
    return jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + EPSILON)


def _pull_inverse_rms(y: Array, x: Array, gradient: Array) -> Array:
    return -gradient * y**3 * x / x.shape[-1]


def _pull_softmax(y: Array, x: Array, gradient: Array) -> Array:
    return y * (gradient - jnp.sum(y * gradient, axis=-1, keepdims=True))


INVERSE_RMS = Statistic(_inverse_rms, _pull_inverse_rms)
PROBABILITIES = Statistic(partial(jax.nn.softmax, axis=-1), _pull_softmax)


def _split(x: Float[Array, "*batch all"], widths: Sequence[int]) -> list[Array]:
    return jnp.split(x, np.cumsum(widths)[:-1], axis=-1)
