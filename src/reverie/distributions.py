"""The distributions that network heads return (sections 3 and 4), with their losses, samples and predictions.

Every method works elementwise over leading axes. With `key=None`, sampling returns the mode: this makes evaluation
deterministic, and it is how our numbers are compared with the reference implementation's.

May import: `ops`.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from reverie.ops import decode_two_hot, neighbours, symexp_bins, symlog, two_hot_loss
from reverie.ops.events import sum_events

Key = PRNGKeyArray | None
BINS = symexp_bins(255)
IMPOSSIBLE = -1e9  # the log-probability of a class that is not allowed


class Output(eqx.Module):
    """The prediction of one target, with the loss that trains it."""

    @abstractmethod
    def loss(self, target: Array) -> Array:
        """Return the negative log-likelihood or squared error, summed over the event's axes."""

    @abstractmethod
    def prediction(self) -> Array:
        """Return the best guess, in the space of the loss: vectors in symlog space, images from 0 to 1."""


class Categorical(eqx.Module):
    """Integers 0 … K-1 with logits on the last axis; `unimix` is the share of a uniform distribution mixed in."""

    logits: Float[Array, "*batch classes"]
    unimix: float = eqx.field(static=True, default=0.0)

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return self.logits.shape[-1]

    @property
    def log_probs(self) -> Float[Array, "*batch classes"]:
        """Log-probabilities, with the uniform share mixed in."""
        if self.unimix:
            return jnp.log(self.probs)
        return jax.nn.log_softmax(self.logits.astype(jnp.float32), axis=-1)

    @property
    def probs(self) -> Float[Array, "*batch classes"]:
        """Probabilities, with the uniform share mixed in."""
        probs = jax.nn.softmax(self.logits.astype(jnp.float32), axis=-1)
        return (1 - self.unimix) * probs + self.unimix / self.classes if self.unimix else probs

    def mode(self) -> Int[Array, "*batch"]:
        """Return the most likely class."""
        return jnp.argmax(self.logits, axis=-1)

    def sample(self, key: Key) -> Int[Array, "*batch"]:
        """Draw by inverse CDF: one uniform number per draw, where Gumbel's trick needs K of them and K logarithms."""
        if key is None:
            return self.mode()
        return self.pick(jax.random.uniform(key, self.logits.shape[:-1]))

    def pick(self, uniform: Float[Array, "*batch"]) -> Int[Array, "*batch"]:
        """Return the class at which the cumulative probability reaches `uniform`, a number from 0 to 1."""
        cumulative = jnp.cumsum(self.probs, axis=-1)
        total = cumulative[..., -1:]
        # Never beyond the last class that has any probability, however the threshold is rounded.
        below = (cumulative <= uniform[..., None] * total) & (cumulative < total)
        return jnp.sum(below, axis=-1)

    def log_prob(self, value: Int[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Return the log-probability of a class."""
        return jnp.sum(jax.nn.one_hot(value, self.classes) * self.log_probs, axis=-1)

    def entropy(self) -> Float[Array, "*batch"]:
        """Return the entropy in nats."""
        return -jnp.sum(self.probs * self.log_probs, axis=-1)

    def divergence(self, other: "Categorical") -> Float[Array, "*batch"]:
        """Return KL(self ‖ other) in nats."""
        return jnp.sum(self.probs * (self.log_probs - other.log_probs), axis=-1)

    def straight_through(self, sample: Int[Array, "*batch"]) -> Float[Array, "*batch classes"]:
        """Return the sample as one-hot, with the gradient of the probabilities: sg(onehot) + p - sg(p)."""
        one_hot = jax.nn.one_hot(sample, self.classes)
        return jax.lax.stop_gradient(one_hot) + (self.probs - jax.lax.stop_gradient(self.probs))


class MaskedCategorical(Categorical):
    """A `Categorical` over the classes that are allowed, at least one; the others have probability zero.

    Their log-probability is `IMPOSSIBLE`, a finite number, so that its product with the probability is zero and every
    gradient is finite.
    """

    allowed: Bool[Array, "*batch classes"] = eqx.field(kw_only=True)

    @property
    def log_probs(self) -> Float[Array, "*batch classes"]:
        """Log-probabilities, with the uniform share of the allowed classes mixed in."""
        if self.unimix:
            return jnp.where(self.allowed, jnp.log(jnp.where(self.allowed, self.probs, 1.0)), IMPOSSIBLE)
        return jnp.where(self.allowed, jax.nn.log_softmax(self._possible, axis=-1), IMPOSSIBLE)

    @property
    def probs(self) -> Float[Array, "*batch classes"]:
        """Probabilities, with a uniform share of the allowed classes mixed in."""
        probs = jnp.where(self.allowed, jax.nn.softmax(self._possible, axis=-1), 0.0)
        if not self.unimix:
            return probs
        uniform = self.allowed / jnp.sum(self.allowed, axis=-1, keepdims=True)
        return (1 - self.unimix) * probs + self.unimix * uniform

    @property
    def _possible(self) -> Float[Array, "*batch classes"]:
        """Logits whose softmax is that of the allowed classes alone, whatever the others' logits are."""
        logits = self.logits.astype(jnp.float32)
        return jnp.where(self.allowed, logits, jnp.finfo(jnp.float32).min)

    def mode(self) -> Int[Array, "*batch"]:
        """Return the most likely class."""
        return jnp.argmax(self._possible, axis=-1)

    def pick(self, uniform: Float[Array, "*batch"]) -> Int[Array, "*batch"]:
        """Return the first allowed class at which the cumulative probability exceeds `uniform`, else the last one.

        Unlike `Categorical.pick`, it compares no sums that differ only by rounding where a class is impossible.
        """
        cumulative = jnp.cumsum(self.probs, axis=-1)
        exceeds = cumulative > uniform[..., None] * cumulative[..., -1:]
        last = jnp.cumsum(self.allowed, axis=-1) == jnp.sum(self.allowed, axis=-1, keepdims=True)
        return jnp.argmax(self.allowed & (exceeds | last), axis=-1)


class BoundedNormal(eqx.Module):
    """The distribution Normal(tanh(mean), 0.9 · sigmoid(std + 2) + 0.1), from raw network outputs."""

    raw_mean: Float[Array, "*batch size"]
    raw_std: Float[Array, "*batch size"]

    @property
    def mean(self) -> Float[Array, "*batch size"]:
        return jnp.tanh(self.raw_mean.astype(jnp.float32))

    @property
    def std(self) -> Float[Array, "*batch size"]:
        return 0.9 * jax.nn.sigmoid(self.raw_std.astype(jnp.float32) + 2) + 0.1

    def mode(self) -> Float[Array, "*batch size"]:
        return self.mean

    def sample(self, key: Key) -> Float[Array, "*batch size"]:
        if key is None:
            return self.mode()
        return self.mean + self.std * jax.random.normal(key, self.raw_mean.shape)

    def log_prob(self, value: Float[Array, "*batch size"]) -> Float[Array, "*batch size"]:
        z = (value.astype(jnp.float32) - self.mean) / self.std
        return -0.5 * jnp.square(z) - jnp.log(self.std) - 0.5 * np.log(2 * np.pi).item()

    def entropy(self) -> Float[Array, "*batch size"]:
        return jnp.log(self.std) + 0.5 * np.log(2 * np.pi * np.e).item()


class TwoHot(Output):
    """A real number as logits over 255 exponentially spaced bins."""

    logits: Float[Array, "*batch bins"]

    def loss(self, *targets: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Return the cross-entropy with the two-hot target, which gets no gradient; summed over several targets."""
        fixed = jax.lax.stop_gradient(targets)
        near = tuple(neighbours(target.astype(jnp.float32), BINS) for target in fixed)
        return two_hot_loss(self.logits.astype(jnp.float32), near)

    def prediction(self) -> Float[Array, "*batch"]:
        """Return the expected value."""
        return decode_two_hot(jax.nn.softmax(self.logits.astype(jnp.float32), axis=-1), BINS)


class Bernoulli(Output):
    """A probability from one logit."""

    logit: Float[Array, "*batch"]

    def loss(self, target: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Return the binary cross-entropy; the target may be any number from 0 to 1."""
        logit = self.logit.astype(jnp.float32)
        return -(target * jax.nn.log_sigmoid(logit) + (1 - target) * jax.nn.log_sigmoid(-logit))

    def prediction(self) -> Float[Array, "*batch"]:
        return jax.nn.sigmoid(self.logit.astype(jnp.float32))


class SymlogVector(Output):
    """A vector predicted in symlog space with squared error; `events` is the number of axes of one vector."""

    value: Float[Array, "..."]
    events: int = eqx.field(static=True)

    def loss(self, target: Float[Array, "..."]) -> Float[Array, "..."]:
        error = self.value.astype(jnp.float32) - symlog(target.astype(jnp.float32))
        return sum_events(jnp.square(error), self.events)

    def prediction(self) -> Float[Array, "..."]:
        """Return the prediction in symlog space; apply `symexp` to get the vector's own units."""
        return self.value.astype(jnp.float32)


class ImageMean(Output):
    """Pixels between 0 and 1, with squared error against uint8 images / 255."""

    value: Float[Array, "*batch h w c"]

    def loss(self, target: Array) -> Float[Array, "*batch"]:
        error = self.value.astype(jnp.float32) - target.astype(jnp.float32) / 255
        return sum_events(jnp.square(error), 3)

    def prediction(self) -> Float[Array, "*batch h w c"]:
        return self.value.astype(jnp.float32)


class Classes(Output):
    """Independent categorical distributions, one per entry of a discrete observation."""

    logits: Float[Array, "... classes"]
    events: int = eqx.field(static=True)

    def loss(self, target: Int[Array, "..."]) -> Float[Array, "..."]:
        return sum_events(-Categorical(self.logits).log_prob(target), self.events)

    def prediction(self) -> Int[Array, "..."]:
        return Categorical(self.logits).mode()
