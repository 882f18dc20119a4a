"""Preprocessing of observations and actions into arrays for the networks (section 1)."""

from collections.abc import Mapping
from math import prod

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from reverie.ops import symlog
from reverie.spaces import Continuous, Discrete, Feature, Image
from reverie.world_model.canvas import canvas_size, place


def flat_size(feature: Continuous | Discrete) -> int:
    """Return how many numbers a feature contributes to a flat input: its entries, times its classes if discrete."""
    return prod(feature.shape) * (feature.classes if isinstance(feature, Discrete) else 1)


def vector_features(features: Mapping[str, Feature]) -> dict[str, Continuous | Discrete]:
    """Return all features except images, in sorted key order."""
    return {key: feature for key, feature in sorted(features.items()) if not isinstance(feature, Image)}


def image_features(features: Mapping[str, Feature]) -> dict[str, Image]:
    """Return the images, in sorted key order."""
    return {key: feature for key, feature in sorted(features.items()) if isinstance(feature, Image)}


def _flatten(value: Array, feature: Continuous | Discrete) -> Array:
    if isinstance(feature, Discrete):
        value = jax.nn.one_hot(value, feature.classes)
    batch = value.ndim - len(feature.shape) - isinstance(feature, Discrete)
    return value.astype(jnp.float32).reshape((*value.shape[:batch], -1))


def encode_vectors(observation: Mapping[str, Array], features: Mapping[str, Feature]) -> Float[Array, "*batch inputs"]:
    """Apply symlog to continuous values, make discrete ones one-hot, and concatenate in sorted key order."""
    return jnp.concatenate(
        [
            symlog(_flatten(observation[key], feature))
            if isinstance(feature, Continuous)
            else _flatten(observation[key], feature)
            for key, feature in vector_features(features).items()
        ],
        axis=-1,
    )


def encode_images(
    observation: Mapping[str, Array], features: Mapping[str, Feature]
) -> Float[Array, "*batch h w channels"]:
    """Scale images to x / 255 - 0.5 on a common canvas, stacked on channels in sorted key order."""
    images = image_features(features)
    canvas = canvas_size(feature.shape for feature in images.values())
    placed = [place(observation[key].astype(jnp.float32) / 255 - 0.5, canvas) for key in images]
    return jnp.concatenate(placed, axis=-1)


def encode_actions(
    action: Mapping[str, Array], features: Mapping[str, Continuous | Discrete]
) -> Float[Array, "*batch actions"]:
    """Make discrete actions one-hot, divide continuous ones by max(1, |a|), and concatenate in sorted key order.

    Samples of a Normal can exceed 1; the divisor brings them back to [-1, 1]. It has no gradient.
    """
    flat = jnp.concatenate([_flatten(action[key], features[key]) for key in sorted(features)], axis=-1)
    return flat / jax.lax.stop_gradient(jnp.maximum(1.0, jnp.abs(flat)))
