"""The encoder (section 3), from an observation to one embedding."""

from collections.abc import Mapping
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.nn import Conv, RMSNorm, Trunk, map_frames, max_pool
from reverie.spaces import Feature
from reverie.world_model.canvas import HALVINGS, canvas_size
from reverie.world_model.custom import EncoderFactory, KeyEncoder
from reverie.world_model.inputs import encode_images, encode_vectors, flat_size, image_features, vector_features

CHANNELS = (2, 3, 4, 4)  # channels per stage, in multiples of the convolutions' depth


class Encoder(eqx.Module):
    """A trunk for vectors, convolutions for images, and custom networks for single observations.

    The embedding is the concatenation of their outputs in this order.
    """

    vectors: Trunk | None
    images: "ImageEncoder | None"
    custom: dict[str, KeyEncoder]
    features: tuple[tuple[str, Feature], ...] = eqx.field(static=True)
    size: int = eqx.field(static=True)

    def __init__(
        self,
        features: Mapping[str, Feature],
        *,
        units: int,
        depth: int,
        key: PRNGKeyArray,
        custom: Mapping[str, EncoderFactory] = MappingProxyType({}),
    ):
        self.custom = {
            name: make(features[name], units=units, depth=depth, key=jax.random.fold_in(key, i))
            for i, (name, make) in enumerate(sorted(custom.items()))
        }
        self.features = tuple(sorted(features.items()))
        features = self._built_in()
        key_vectors, key_images = jax.random.split(key)
        vectors, images = vector_features(features), image_features(features)
        inputs = sum(flat_size(feature) for feature in vectors.values())
        self.vectors = Trunk(inputs, units, 3, key=key_vectors) if vectors else None
        self.images = ImageEncoder([f.shape for f in images.values()], depth, key=key_images) if images else None
        self.size = (units if self.vectors else 0) + (self.images.size if self.images else 0)
        self.size += sum(encoder.size for encoder in self.custom.values())

    def __call__(self, observation: Mapping[str, Array]) -> Float[Array, "*batch embedding"]:
        features, parts = self._built_in(), []
        if self.vectors is not None:
            parts.append(self.vectors(encode_vectors(observation, features)))
        if self.images is not None:
            parts.append(self.images(encode_images(observation, features)))
        parts += [encoder(observation[name]) for name, encoder in sorted(self.custom.items())]
        return jnp.concatenate(parts, axis=-1)

    def _built_in(self) -> dict[str, Feature]:
        """Return the features that have no custom encoder."""
        return {name: feature for name, feature in self.features if name not in self.custom}


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
