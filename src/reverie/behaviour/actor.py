"""The actor (section 4), from the features of a latent to a distribution over actions."""

from collections.abc import Mapping
from math import prod
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from reverie.distributions import BoundedNormal, Categorical, Key, MaskedCategorical
from reverie.errors import InputError
from reverie.nn import Linear, Trunk
from reverie.ops.events import sum_events
from reverie.spaces import Continuous, Discrete

OUTPUT_SCALE = 0.01  # makes the initial policy close to uniform

Allowed = Mapping[str, Bool[Array, "*batch classes"]]
"""The allowed classes of each masked action."""


class Policy(eqx.Module):
    """Independent distributions, one per action key; log-probs and entropies are summed over an action's axes."""

    parts: dict[str, Categorical | BoundedNormal]
    events: tuple[tuple[str, int], ...] = eqx.field(static=True)  # axes of one action, per key

    def sample(self, key: Key) -> dict[str, Array]:
        """Draw actions as the world model reads them: raw samples in about [-1, 1], or integers from 0.

        With `key=None`, return the modes.
        """
        keys = [None] * len(self.parts) if key is None else jax.random.split(key, len(self.parts))
        return {name: self.parts[name].sample(k) for name, k in zip(sorted(self.parts), keys, strict=True)}

    def log_prob(self, action: Mapping[str, Array]) -> Float[Array, "*batch"]:
        """Return the log-probability of raw samples, summed over keys and dimensions."""
        return sum(
            (sum_events(self.parts[name].log_prob(action[name]), events) for name, events in self.events), start=0.0
        )  # type: ignore[return-value]

    def entropies(self) -> dict[str, Float[Array, "*batch"]]:
        """Return the entropy in nats per action key, summed over dimensions."""
        return {name: sum_events(self.parts[name].entropy(), events) for name, events in self.events}


class Actor(eqx.Module):
    """Three trunk layers with a head per action: logits if it is discrete (no uniform mix), else mean and std."""

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

    def __call__(self, features: Float[Array, "*batch features"], allowed: Allowed = MappingProxyType({})) -> Policy:
        """Return the policy in a state.

        Args:
            features: Of the latent.
            allowed: By the key of each masked action, the classes that are allowed, at least one in each state.
                `WorldModel.allowed` predicts them, `WorldModel.allowed_by` reads them from an observation.

        Raises:
            InputError: A masked action has no entry in `allowed`.
        """
        x = self.trunk(features)
        outputs = {name: {part: head(x) for part, head in heads.items()} for name, heads in self.heads.items()}
        return self.policy(outputs, allowed)

    def policy(
        self,
        outputs: Mapping[str, Mapping[str, Float[Array, "*batch size"]]],
        allowed: Allowed = MappingProxyType({}),
    ) -> Policy:
        """Return the policy that the outputs of the heads parameterize; see `__call__`."""
        parts: dict[str, Categorical | BoundedNormal] = {}
        for name, feature in self.features:
            raw = {part: output.astype(jnp.float32) for part, output in outputs[name].items()}
            batch = next(iter(raw.values())).shape[:-1]
            if isinstance(feature, Discrete):
                logits = raw["logits"].reshape((*batch, *feature.shape, feature.classes))
                parts[name] = _categorical(name, feature, logits, allowed)
            else:
                shape = (*batch, *feature.shape)
                parts[name] = BoundedNormal(raw["mean"].reshape(shape), raw["std"].reshape(shape))
        return Policy(parts, tuple((name, len(feature.shape)) for name, feature in self.features))


def _categorical(name: str, feature: Discrete, logits: Float[Array, "*batch classes"], allowed: Allowed) -> Categorical:
    """Return the distribution over the classes that exist and are allowed."""
    if feature.mask is not None:
        if name not in allowed:
            raise InputError(f"The action {name!r} is masked: pass allowed=world_model.allowed(latent) to the actor.")
        return MaskedCategorical(logits, allowed=allowed[name])
    if feature.counts is not None:  # entries differ in their number of classes
        counts = np.reshape(feature.counts, (*feature.shape, 1))
        exists = jnp.broadcast_to(np.arange(feature.classes) < counts, logits.shape)
        return MaskedCategorical(logits, allowed=exists)
    return Categorical(logits)
