"""`RSSM.observe` on rows (N, features) with five matrix products per step. The same keys give the same samples."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from reverie.distributions import Categorical
from reverie.nn.norm import EPSILON
from reverie.tuned.gpu.recurrence import Apply, Product, recurrence
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
    width, blocks = latent.deter.shape[-1], rssm.gates.weight.shape[0]
    enter, posterior = rssm.deter_in.linear, rssm.posterior_trunk.linear
    units, own = enter.bias.shape[0], width // blocks
    groups, classes, unimix, dtype = rssm.groups, rssm.classes, rssm.unimix, enter.weight.dtype
    # What the blocks share comes last in their input: the trunks of deter, stoch and, apart from the loop, the action.
    products = {
        "stoch": Product(rssm.stoch_in.linear.weight),
        "hidden": Product(rssm.hidden.weight[:, : own + 2 * units]),
        "gates": Product(rssm.gates.weight),
        "deter": Product(jnp.concatenate([enter.weight, posterior.weight[:width]], axis=1)),
        "logits": Product(rssm.posterior_out.weight),
    }
    # The biases and scales of the elementwise part, in the order in which a step reads them.
    parameters = [
        *(enter.bias, rssm.stoch_in.linear.bias, rssm.deter_in.norm.scale, rssm.stoch_in.norm.scale),
        *(rssm.hidden_norm.scale, rssm.gates.bias, rssm.posterior_trunk.norm.scale, rssm.posterior_out.bias),
    ]
    sizes = [2 * units, 2 * units, width, 3 * width, units, groups * classes]
    state_sizes = [width, groups * classes, units]

    def step(apply: Apply, parameters: Array, state: Array, now: Array, data: tuple[Array, ...]) -> tuple[Array, Array]:
        enter, enter_scale, hidden_scale, gate, posterior_scale, logit = _split(parameters, sizes)
        keep, *noise = data
        deter, stoch, read = _split(state * keep, state_sizes)
        from_action, from_embedding = _split(now, [width, units])
        rows = deter.shape[0]
        # The two trunks that feed the sequence model are normalized together.
        pre = jnp.concatenate([read, apply("stoch", stoch)], axis=-1) + enter.astype(dtype)
        entered = _finish(pre.reshape((rows, 2, units)), enter_scale.reshape((rows, 2, units)))
        entered = jnp.broadcast_to(entered.reshape((rows, 1, 2 * units)), (rows, blocks, 2 * units))
        given = jnp.concatenate([deter.reshape((rows, blocks, own)), entered], axis=-1)
        hidden = apply("hidden", given.reshape((rows, -1))) + from_action
        gates = apply("gates", _finish(hidden, hidden_scale)) + gate.astype(dtype)
        reset, candidate, update = jnp.moveaxis(gates.reshape((rows, blocks, 3, own)), 2, 0)
        candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
        update = jax.nn.sigmoid(update - 1)
        deter = (update * candidate + (1 - update) * deter.reshape(update.shape)).reshape(deter.shape)
        read, pre = jnp.split(apply("deter", deter), [units], axis=-1)
        logits = apply("logits", _finish(pre + from_embedding, posterior_scale)) + logit.astype(dtype)
        belief = Categorical(logits.reshape((rows, groups, classes)), unimix)
        sample = belief.pick(noise[0]) if noise else belief.mode()
        stoch = belief.straight_through(sample).astype(dtype).reshape(stoch.shape)
        return jnp.concatenate([deter, stoch, read], axis=-1), logits

    deter, stoch = latent.deter.astype(dtype), latent.flat_stoch.astype(dtype)
    start = jnp.concatenate([deter, stoch, deter @ enter.weight], axis=-1)
    # Everything that does not depend on the previous state, for all steps at once.
    dense = jnp.moveaxis(rssm.hidden.weight[:, own + 2 * units :], 0, 1).reshape((-1, width))
    from_action = rssm.action_in(action * ~is_first[..., None]) @ dense + rssm.hidden.bias[None, None]
    from_embedding = posterior.partial(embedding, start=width) + posterior.bias[None, None]
    inputs = jnp.swapaxes(jnp.concatenate([from_action, from_embedding], axis=-1), 0, 1)
    keep = jnp.swapaxes(~is_first, 0, 1)[..., None].astype(dtype)
    noise = () if key is None else (jax.random.uniform(key, (*is_first.shape[::-1], groups)),)
    vector = jnp.concatenate([x.astype(jnp.float32) for x in parameters])
    states, logits = (jnp.swapaxes(x, 0, 1) for x in recurrence(step, products, vector, start, inputs, (keep, *noise)))
    deters, stochs, _ = _split(states, state_sizes)
    shape = (*is_first.shape, groups, classes)
    return Latent(deters, stochs.reshape(shape)), logits.reshape(shape)


def _split(x: Float[Array, "*batch all"], sizes: Sequence[int]) -> list[Array]:
    return jnp.split(x, np.cumsum(sizes)[:-1], axis=-1)


def _finish(x: Float[Array, "*n features"], scale: Float[Array, "*n features"]) -> Float[Array, "*n features"]:
    """Apply RMSNorm, with a scale for every row, and SiLU."""
    wide = x.astype(jnp.float32)
    inverse = jax.lax.rsqrt(jnp.mean(jnp.square(wide), axis=-1, keepdims=True) + EPSILON)
    return jax.nn.silu((wide * inverse * scale.astype(jnp.float32)).astype(x.dtype))
