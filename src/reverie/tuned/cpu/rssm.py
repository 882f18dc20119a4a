"""`RSSM.observe` and `RSSM.imagine` in columns (features, N). The same keys give the same samples.

The state stays in this layout through all steps; its deterministic part is never transposed.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PRNGKeyArray

from reverie.tuned.cpu import layers
from reverie.tuned.cpu.distributions import draw, straight_through
from reverie.tuned.cpu.recurrence import Affine, Apply, recurrence
from reverie.world_model import RSSM, Latent


class LatentColumns(NamedTuple):
    """A batch of latents, one per column: `deter` (D, N) and the flattened `stoch` (S · K, N)."""

    deter: Float[Array, "deter n"]
    stoch: Float[Array, "stoch n"]

    @classmethod
    def of(cls, latent: Latent) -> "LatentColumns":
        """Return latents with one batch axis as columns."""
        return cls(latent.deter.T, latent.flat_stoch.T.astype(latent.deter.dtype))

    @property
    def features(self) -> Float[Array, "features n"]:
        """The input of heads, actor and critic."""
        return jnp.concatenate([self.deter, self.stoch], axis=0)


def imagination_noise(
    rssm: RSSM, keys: Key[Array, " steps"] | None, starts: int
) -> Float[Array, "steps groups n"] | None:
    """Draw the numbers for all calls of `imagine` at once, each step from its key as `RSSM.imagine` does."""
    if keys is None:
        return None
    return _swap(jax.vmap(lambda key: jax.random.uniform(key, (starts, rssm.groups)))(keys))


def imagine(
    rssm: RSSM, state: LatentColumns, action: Float[Array, "n actions"], uniform: Float[Array, "groups n"] | None
) -> LatentColumns:
    """Compute `RSSM.imagine` without gradient, which imagined states never need."""
    deter = _sequence(rssm, state, action)
    logits = layers.linear(rssm.prior_out, layers.trunk(rssm.prior_trunk, deter))
    sample = draw(logits.reshape((rssm.groups, rssm.classes, -1)), rssm.unimix, uniform)
    return LatentColumns(deter, jax.nn.one_hot(sample, rssm.classes, axis=1, dtype=deter.dtype).reshape(logits.shape))


def observe(
    rssm: RSSM,
    latent: Latent,
    embedding: Float[Array, "b t embedding"],
    action: Float[Array, "b t actions"],
    is_first: Bool[Array, "b t"],
    key: PRNGKeyArray | None,
) -> tuple[Latent, Float[Array, "b t groups classes"]]:
    """Compute `RSSM.observe`; the gradient of the recurrence's weights is computed after its last step.

    A step has six products. Two layers read the new deter: the posterior's in this step and the sequence model's in
    the next. They share one product, and the sequence model's part of the result is carried in the state.
    """
    width, (blocks, _, _) = latent.deter.shape[-1], rssm.gates.weight.shape
    enter, posterior = rssm.deter_in.linear, rssm.posterior_trunk.linear
    units = enter.bias.shape[0]
    own, shared = layers.split(rssm.hidden, width)
    maps = {
        "stoch": Affine(rssm.stoch_in.linear.weight.T, rssm.stoch_in.linear.bias),
        "own": Affine(own),
        "shared": Affine(shared[:, : 2 * units]),
        "gates": Affine(jnp.swapaxes(rssm.gates.weight, 1, 2), rssm.gates.bias.reshape((blocks, -1))),
        "deter": Affine(jnp.concatenate([enter.weight, posterior.weight[:width]], axis=1).T),
        "logits": Affine(rssm.posterior_out.weight.T, rssm.posterior_out.bias),
    }
    # The two trunks that feed the sequence model are normalized together, because every kernel of a step counts.
    entering = jax.tree.map(lambda *x: jnp.stack(x), rssm.deter_in.norm, rssm.stoch_in.norm)
    norms = (entering, rssm.hidden_norm, rssm.posterior_trunk.norm)
    shape, unimix = (rssm.groups, rssm.classes, -1), rssm.unimix

    def step(apply: Apply, others: tuple[Any, ...], state: tuple[Array, ...], now: tuple[Any, ...]) -> Any:
        (entering, hidden_norm, posterior_norm), bias = others
        (deter, stoch, read), (from_action, from_embedding, keep, uniform) = state, now
        deter, stoch, read = deter * keep, stoch * keep, read * keep
        pre = jnp.stack([read + bias[:, None], apply("stoch", stoch)])
        entered = jax.vmap(layers.finish)(entering, pre)
        hidden = apply("shared", entered.reshape((-1, keep.shape[1]))) + from_action
        hidden = hidden + apply("own", deter.reshape((blocks, -1, keep.shape[1]))).reshape(hidden.shape)
        hidden = layers.finish(hidden_norm, hidden)
        deter = _memory(apply("gates", hidden.reshape((blocks, -1, keep.shape[1]))), deter)
        read, pre = jnp.split(apply("deter", deter), [units])
        logits = apply("logits", layers.finish(posterior_norm, pre + from_embedding))
        belief = logits.reshape(shape)
        drawn = straight_through(belief, unimix, draw(belief, unimix, uniform))
        stoch = drawn.astype(deter.dtype).reshape(stoch.shape)
        return (deter, stoch, read), (deter, stoch, logits)

    dtype = enter.weight.dtype
    start = LatentColumns.of(Latent(latent.deter.astype(dtype), latent.stoch.astype(dtype)))
    from_action = rssm.action_in(action * ~is_first[..., None]) @ shared[:, 2 * units :].T
    from_action = from_action + rssm.hidden.bias[None, None]
    from_embedding = posterior.partial(embedding, start=width) + posterior.bias[None, None]
    inputs = (
        *(jnp.transpose(x, (1, 2, 0)) for x in (from_action, from_embedding)),
        (~is_first).T[:, None].astype(dtype),
        None if key is None else _swap(jax.random.uniform(key, (*is_first.shape[::-1], rssm.groups))),
    )
    state = (*start, enter.weight.T @ start.deter)
    outputs = recurrence(step, maps, (norms, enter.bias), state, inputs)
    deters, stochs, logits = (jnp.transpose(x, (2, 0, 1)) for x in outputs)
    groups = (*is_first.shape, rssm.groups, rssm.classes)
    return Latent(deters, stochs.reshape(groups)), logits.reshape(groups)


def _sequence(rssm: RSSM, state: LatentColumns, action: Float[Array, "n actions"]) -> Float[Array, "deter n"]:
    inputs = [
        layers.trunk_layer(rssm.deter_in, state.deter),
        layers.trunk_layer(rssm.stoch_in, state.stoch),
        layers.trunk_layer(rssm.action_in, action.T),
    ]
    hidden = layers.block_linear(rssm.hidden, state.deter, shared=jnp.concatenate(inputs, axis=0))
    gates = layers.block_linear(rssm.gates, layers.finish(rssm.hidden_norm, hidden))
    return _memory(gates.reshape((rssm.gates.weight.shape[0], -1, gates.shape[-1])), state.deter)


def _memory(gates: Float[Array, "blocks rows n"], deter: Float[Array, "deter n"]) -> Float[Array, "deter n"]:
    """Compute the new deter. The rows of a block are reset, candidate and update, so that each is a slice."""
    parts = jnp.split(gates.reshape((gates.shape[0], 3, -1, gates.shape[-1])), 3, axis=1)
    reset, candidate, update = (part.reshape(deter.shape) for part in parts)
    candidate = jnp.tanh(jax.nn.sigmoid(reset) * candidate)
    update = jax.nn.sigmoid(update - 1)
    return update * candidate + (1 - update) * deter.astype(gates.dtype)


def _swap(x: Float[Array, "steps n groups"]) -> Float[Array, "steps groups n"]:
    return jnp.swapaxes(x, 1, 2)
