"""The decoder (section 3), from a latent to a prediction of the observation."""

from collections.abc import Mapping
from math import prod
from types import MappingProxyType

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from reverie.distributions import Classes, ImageMean, Output, SymlogVector
from reverie.nn import BlockLinear, Linear, RMSNorm, Trunk, TrunkLayer, UpsampleConv, map_frames
from reverie.spaces import Continuous, Discrete, Feature, Image
from reverie.world_model.canvas import HALVINGS, canvas_size, take
from reverie.world_model.custom import DecoderFactory, KeyDecoder
from reverie.world_model.encoder import CHANNELS
from reverie.world_model.inputs import flat_size, image_features, vector_features


class Decoder(eqx.Module):
    """A network for all vectors, one for all images, and custom networks: one output per predicted observation."""

    vectors: "VectorDecoder | None"
    images: "ImageDecoder | None"
    custom: dict[str, KeyDecoder]
    features: tuple[tuple[str, Feature], ...] = eqx.field(static=True)

    def __init__(
        self,
        features: Mapping[str, Feature],
        *,
        deter: int,
        stoch: int,
        blocks: int,
        units: int,
        depth: int,
        key: PRNGKeyArray,
        custom: Mapping[str, DecoderFactory] = MappingProxyType({}),
    ):
        widths = {"deter": deter, "stoch": stoch, "units": units, "depth": depth}
        self.custom = {
            name: make(features[name], **widths, key=jax.random.fold_in(key, i))
            for i, (name, make) in enumerate(sorted(custom.items()))
        }
        self.features = tuple(sorted(features.items()))
        features = {name: feature for name, feature in features.items() if name not in custom}
        key_vectors, key_images = jax.random.split(key)
        vectors, images = vector_features(features), image_features(features)
        self.vectors = VectorDecoder(vectors, deter + stoch, units, key=key_vectors) if vectors else None
        self.images = ImageDecoder(images, deter, stoch, blocks, units, depth, key=key_images) if images else None

    def __call__(self, deter: Float[Array, "*batch deter"], stoch: Float[Array, "*batch stoch"]) -> dict[str, Output]:
        """Return one output per key. `stoch` is flattened: S groups of K classes in one axis."""
        outputs: dict[str, Output] = {}
        if self.vectors is not None:
            outputs |= self._vectors(self.vectors, deter, stoch)
        if self.images is not None:
            outputs |= self.images(deter, stoch)
        return outputs | {name: decoder(deter, stoch) for name, decoder in self.custom.items()}

    def one(self, key: str, deter: Float[Array, "*batch deter"], stoch: Float[Array, "*batch stoch"]) -> Output:
        """Return the output for a key that is no image, without computing those of images."""
        if key in self.custom:
            return self.custom[key](deter, stoch)
        assert self.vectors is not None
        return self._vectors(self.vectors, deter, stoch)[key]

    @staticmethod
    def _vectors(vectors: "VectorDecoder", deter: Array, stoch: Array) -> dict[str, Output]:
        return vectors(jnp.concatenate([stoch, deter.astype(stoch.dtype)], axis=-1))


class VectorDecoder(eqx.Module):
    """A trunk of three layers and one linear output per key."""

    trunk: Trunk
    heads: dict[str, Linear]
    features: tuple[tuple[str, Continuous | Discrete], ...] = eqx.field(static=True)

    def __init__(self, features: Mapping[str, Continuous | Discrete], inputs: int, units: int, *, key: PRNGKeyArray):
        self.features = tuple(features.items())
        key_trunk, *keys = jax.random.split(key, 1 + len(features))
        self.trunk = Trunk(inputs, units, 3, key=key_trunk)
        self.heads = {
            name: Linear(units, flat_size(feature), key=k)
            for (name, feature), k in zip(self.features, keys, strict=True)
        }

    def __call__(self, inputs: Float[Array, "*batch inputs"]) -> dict[str, Output]:
        x = self.trunk(inputs)
        batch = x.shape[:-1]
        outputs: dict[str, Output] = {}
        for name, feature in self.features:
            y, events = self.heads[name](x), len(feature.shape)
            if isinstance(feature, Discrete):
                outputs[name] = Classes(y.reshape((*batch, *feature.shape, feature.classes)), events)
            else:
                outputs[name] = SymlogVector(y.reshape((*batch, *feature.shape)), events)
        return outputs


class ImageDecoder(eqx.Module):
    """A small feature map from both parts of the latent, then four upsampling convolutions.

    Each block of the block layer computes a slice of the channels: its output (g, h, w, c) becomes (h, w, g·c), so
    that a block of `deter` determines some channels at every position rather than one region of the image.
    """

    from_deter: BlockLinear
    stoch_trunk: TrunkLayer
    from_stoch: Linear
    norm: RMSNorm
    convs: tuple[UpsampleConv, ...]
    norms: tuple[RMSNorm, ...]
    output: UpsampleConv
    images: tuple[tuple[str, tuple[int, int, int]], ...] = eqx.field(static=True)
    shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        features: Mapping[str, Image],
        deter: int,
        stoch: int,
        blocks: int,
        units: int,
        depth: int,
        *,
        key: PRNGKeyArray,
    ):
        self.images = tuple((name, feature.shape) for name, feature in features.items())
        height, width = canvas_size(shape for _, shape in self.images)
        wide = [depth * c for c in reversed(CHANNELS)]
        self.shape = (height >> HALVINGS, width >> HALVINGS, wide[0])
        keys = jax.random.split(key, 4 + len(wide) - 1)  # in this order, which decides the initial weights
        self.from_deter = BlockLinear(deter, prod(self.shape), blocks, key=keys[0])
        self.stoch_trunk = TrunkLayer(stoch, 2 * units, key=keys[1])
        self.from_stoch = Linear(2 * units, prod(self.shape), key=keys[2])
        self.norm = RMSNorm(wide[0])
        self.convs = tuple(UpsampleConv(wide[i], wide[i + 1], key=keys[4 + i]) for i in range(len(wide) - 1))
        self.norms = tuple(RMSNorm(c) for c in wide[1:])
        self.output = UpsampleConv(wide[-1], sum(shape[2] for _, shape in self.images), key=keys[3])

    def __call__(self, deter: Float[Array, "*batch deter"], stoch: Float[Array, "*batch stoch"]) -> dict[str, Output]:
        batch, (h, w, c) = deter.shape[:-1], self.shape
        blocks = self.from_deter.weight.shape[0]
        from_deter = self.from_deter(deter).reshape((-1, blocks, h, w, c // blocks))
        from_deter = jnp.moveaxis(from_deter, 1, 3).reshape((-1, h, w, c))  # a block's channels next to each other
        from_stoch = self.from_stoch(self.stoch_trunk(stoch)).reshape((-1, h, w, c))
        x = map_frames(self._stages, jax.nn.silu(self.norm(from_deter + from_stoch)))
        x = x.reshape((*batch, *x.shape[1:]))
        outputs: dict[str, Output] = {}
        start = 0
        for name, (height, width, channels) in self.images:
            outputs[name] = ImageMean(take(x[..., start : start + channels], (height, width)))
            start += channels
        return outputs

    def _stages(self, x: Float[Array, "n h w c"]) -> Array:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = jax.nn.silu(norm(conv(x)))
        return jax.nn.sigmoid(self.output(x).astype(jnp.float32))
