"""Encoders and decoders of your own for single observations, by name.

A registered name can be used in the config, for example `model.encoders = ("lidar=scan",)`. The config of a saved
agent refers to the name alone, so that loading an agent never imports code: register the network, then load.

May import: `errors`, `distributions`, `spaces`.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Array, Float, PRNGKeyArray

from reverie.distributions import Output
from reverie.errors import InputError
from reverie.spaces import Feature


@runtime_checkable
class KeyEncoder(Protocol):
    """An Equinox module that embeds one observation; its arrays are trained, saved and loaded with the agent.

    Every leaf must be a float array: keep functions and numbers in static fields, which excludes `eqx.nn.MLP`. The
    arrays arrive in the compute dtype (bfloat16 on a GPU); cast inputs to it.
    """

    size: int  # numbers in the embedding, a static field

    def __call__(self, observation: Array) -> Float[Array, "*batch size"]:
        """Embed observations (*batch, *shape), as the environment's feature describes them and without symlog."""


@runtime_checkable
class KeyDecoder(Protocol):
    """An Equinox module that predicts one observation; its leaves are as for `KeyEncoder`.

    What it returns decides the loss, and must match what the environment's feature is:

    | feature | output, from `reverie.distributions` |
    | --- | --- |
    | Continuous | `SymlogVector(value, axes)`: the value in symlog space, with the feature's shape of so many axes |
    | Image | `ImageMean(value)`: pixels from 0 to 1, (*batch, height, width, channels) |
    | Discrete | `Classes(logits, axes)`: the feature's shape and then one axis of classes |
    """

    def __call__(self, deter: Float[Array, "*batch deter"], stoch: Float[Array, "*batch stoch"]) -> Output:
        """Return a prediction with a loss, such as `SymlogVector`; `stoch` is flattened."""


@runtime_checkable
class EncoderFactory(Protocol):
    """Makes an encoder for a feature, of a kind of its choice; `units` and `depth` are the configured widths."""

    def __call__(self, feature: Any, *, units: int, depth: int, key: PRNGKeyArray) -> KeyEncoder: ...


@runtime_checkable
class DecoderFactory(Protocol):
    """Makes a decoder for a feature, from latents of `deter` and `stoch` numbers."""

    def __call__(
        self, feature: Any, *, deter: int, stoch: int, units: int, depth: int, key: PRNGKeyArray
    ) -> KeyDecoder: ...


_encoders: dict[str, EncoderFactory] = {}
_decoders: dict[str, DecoderFactory] = {}


def register_encoder(name: str, factory: EncoderFactory) -> None:
    """Make an encoder available to `model.encoders`. Registering a name again replaces it."""
    _encoders[_checked(name)] = factory


def register_decoder(name: str, factory: DecoderFactory) -> None:
    """Make a decoder available to `model.decoders`. Registering a name again replaces it."""
    _decoders[_checked(name)] = factory


def chosen_encoders(pairs: tuple[str, ...], features: Mapping[str, Feature]) -> dict[str, EncoderFactory]:
    """Return the factories that the pairs KEY=NAME choose for some of the features.

    Raises:
        InputError: A pair has no '=', a key is no encoded observation, or a name is not registered.
    """
    return {key: _find(_encoders, name, "encoder") for key, name in _split(pairs, features, "encoder")}


def chosen_decoders(pairs: tuple[str, ...], features: Mapping[str, Feature]) -> dict[str, DecoderFactory]:
    """Return the factories that the pairs KEY=NAME choose for some of the features; errors as `chosen_encoders`."""
    return {key: _find(_decoders, name, "decoder") for key, name in _split(pairs, features, "decoder")}


def _split(pairs: tuple[str, ...], features: Mapping[str, Feature], kind: str) -> list[tuple[str, str]]:
    found = []
    for pair in pairs:
        key, equals, name = pair.rpartition("=")
        if not equals:
            raise InputError(f"model.{kind}s takes pairs KEY=NAME, such as 'lidar=scan'; got '{pair}'.")
        if key not in features:
            raise InputError(
                f"model.{kind}s names the observation '{key}', but the {kind}'s are {', '.join(map(repr, features))}."
            )
        found.append((key, name))
    return found


def _find(registered: Mapping[str, Any], name: str, kind: str) -> Any:
    if name not in registered:
        known = f"registered are {', '.join(map(repr, registered))}" if registered else "none is registered"
        raise InputError(
            f"There is no {kind} called '{name}'; {known}. Call reverie.register_{kind}('{name}', …) before the agent "
            "is made or loaded."
        )
    return registered[name]


def _checked(name: str) -> str:
    if not name or "=" in name:
        raise InputError(f"A network's name must not be empty or contain '='; got '{name}'.")
    return name
