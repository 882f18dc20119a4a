"""The encoder (section 3), from an observation to one embedding."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.nn import Conv, RMSNorm, Trunk, map_frames, max_pool
from reverie.spaces import Feature
from reverie.world_model.canvas import HALVINGS, canvas_size
from reverie.world_model.inputs import encode_images, encode_vectors, flat_size, image_features, vector_features

CHANNELS = (2, 3, 4, 4)  # channels per stage, in multiples of the convolutions' depth


class Encoder(eqx.Module):
    """A trunk for vectors and convolutions for images; the vectors' part comes first in the embedding."""

    vectors: Trunk | None
    images: "ImageEncoder | None"
    features: tuple[tuple[str, Feature], ...] = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(self, features: Mapping[str, Feature], *, units: int, depth: int, key: PRNGKeyArray):
        self.features = tuple(sorted(features.items()))
        key_vectors, key_images = jax.random.split(key)
        vectors, images = vector_features(features), image_features(features)
        inputs = sum(flat_size(feature) for feature in vectors.values())
        self.vectors = Trunk(inputs, units, 3, key=key_vectors) if vectors else None
        self.images = ImageEncoder([f.shape for f in images.values()], depth, key=key_images) if images else None
        self.size = (units if self.vectors else 0) + (self.images.size if self.images else 0)

    def __call__(self, observation: Mapping[str, Array]) -> Float[Array, "*batch embedding"]:
        features, parts = dict(self.features), []
        if self.vectors is not None:
            parts.append(self.vectors(encode_vectors(observation, features)))
        if self.images is not None:
            parts.append(self.images(encode_images(observation, features)))
        return jnp.concatenate(parts, axis=-1)


class ImageEncoder(eqx.Module):
    """Four stages of convolution, 2×2 max-pool, RMSNorm and SiLU; an image of 64×64 ends at 4×4."""

    convs: tuple[Conv, ...]
    norms: tuple[RMSNorm, ...]
    size: int = eqx.field(static=True)

    def __init__(self, shapes: list[tuple[int, int, int]], depth: int, *, key: PRNGKeyArray):
        height, width = canvas_size(shapes)
        channels = (sum(shape[2] for shape in shapes), *(depth * c for c in CHANNELS))
        keys = jax.random.split(key, len(CHANNELS))
        self.convs = tuple(Conv(channels[i], channels[i + 1], key=k) for i, k in enumerate(keys))
        self.norms = tuple(RMSNorm(c) for c in channels[1:])
        self.size = (height >> HALVINGS) * (width >> HALVINGS) * channels[-1]

    def __call__(self, images: Float[Array, "*batch h w c"]) -> Float[Array, "*batch size"]:
        x = map_frames(self._stages, images.reshape((-1, *images.shape[-3:])))
        return x.reshape((*images.shape[:-3], -1))

    def _stages(self, x: Float[Array, "n h w c"]) -> Array:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.silu(norm(max_pool(conv(x))))
        return x
