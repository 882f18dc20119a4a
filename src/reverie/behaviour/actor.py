"""The actor (section 4): a distribution over actions from the latent's features."""

from collections.abc import Callable, Mapping
from math import prod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.distributions import BoundedNormal, Categorical, Key
from reverie.nn import Linear, Trunk, columns
from reverie.ops.events import sum_events
from reverie.spaces import Continuous, Discrete

NEVER = -1e9  # a logit whose probability is 0; finite, so that 0 times it is 0 in the entropy
OUTPUT_SCALE = 0.01  # the first policy is close to uniform


class Policy(eqx.Module):
    """Independent distributions, one per action key; log-probs and entropies are summed over the event's axes."""

    parts: dict[str, Categorical | BoundedNormal]
    events: tuple[tuple[str, int], ...] = eqx.field(static=True)  # axes of one action, per key

    def sample(self, key: Key) -> dict[str, Array]:
        """Actions as the model takes them: raw samples in about [-1, 1], or integers from 0. None: the modes."""
        keys = [None] * len(self.parts) if key is None else jax.random.split(key, len(self.parts))
        return {name: self.parts[name].sample(k) for name, k in zip(sorted(self.parts), keys, strict=True)}

    def log_prob(self, action: Mapping[str, Array]) -> Float[Array, "*batch"]:
        """Of the raw sample, summed over keys and dimensions."""
        return sum(
            (sum_events(self.parts[name].log_prob(action[name]), events) for name, events in self.events), start=0.0
        )  # type: ignore[return-value]

    def entropies(self) -> dict[str, Float[Array, "*batch"]]:
        """In nats, per action key, summed over dimensions."""
        return {name: sum_events(self.parts[name].entropy(), events) for name, events in self.events}


class Actor(eqx.Module):
    """Three trunk layers; logits for discrete actions (no uniform mix), mean and std for continuous ones."""

    trunk: Trunk
    heads: dict[str, dict[str, Linear]]
    features: tuple[tuple[str, Continuous | Discrete], ...] = eqx.field(static=True)

    def __init__(self, inputs: int, units: int, actions: Mapping[str, Continuous | Discrete], *, key: PRNGKeyArray):
        self.features = tuple(sorted(actions.items()))
        key_trunk, *keys = jax.random.split(key, 1 + len(actions))
        self.trunk = Trunk(inputs, units, 3, key=key_trunk)
        self.heads = {}
        for (name, feature), k in zip(self.features, keys, strict=True):
            size = prod(feature.shape)
            outputs = {"mean": size, "std": size}
            if isinstance(feature, Discrete):
                outputs = {"logits": size * feature.classes}
            self.heads[name] = {
                part: Linear(units, count, scale=OUTPUT_SCALE, key=jax.random.fold_in(k, i))
                for i, (part, count) in enumerate(outputs.items())
            }

    def __call__(self, features: Float[Array, "*batch features"]) -> Policy:
        x = self.trunk(features)
        return self._policy(lambda head: head(x), x.shape[:-1])

    def columns(self, x: Float[Array, "units n"]) -> Policy:
        """The same policy, with one leading axis N, from the trunk's output in columns."""
        return self._policy(lambda head: columns.linear(head, x).T, x.shape[1:])

    def _policy(self, apply: Callable[[Linear], Array], batch: tuple[int, ...]) -> Policy:
        parts: dict[str, Categorical | BoundedNormal] = {}
        for name, feature in self.features:
            raw = {part: apply(head).astype(jnp.float32) for part, head in self.heads[name].items()}
            if isinstance(feature, Discrete):
                logits = raw["logits"].reshape((*batch, *feature.shape, feature.classes))
                parts[name] = Categorical(_masked(logits, feature))
            else:
                shape = (*batch, *feature.shape)
                parts[name] = BoundedNormal(raw["mean"].reshape(shape), raw["std"].reshape(shape))
        return Policy(parts, tuple((name, len(feature.shape)) for name, feature in self.features))


def _masked(logits: Float[Array, "*batch classes"], feature: Discrete) -> Float[Array, "*batch classes"]:
    """Where entries differ in their number of classes: those that an entry lacks have no probability."""
    if feature.counts is None:
        return logits
    counts = np.reshape(feature.counts, (*feature.shape, 1))
    exists = np.arange(feature.classes) < counts
    return jnp.where(np.broadcast_to(exists, logits.shape), logits, NEVER)
