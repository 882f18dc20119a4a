"""The whole configuration of a run: made from names and values, checked, compared, read and written.

May import: `errors`, the rest of this room. Configs are frozen: `Config.of` makes one, `Config.override` returns a
changed copy.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from reverie.config.bound import Bound
from reverie.config.file import as_yaml, read_settings
from reverie.config.names import SHORT, by_path
from reverie.config.settings import (
    BehaviourConfig,
    EnvConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    ReplayConfig,
    RunConfig,
)
from reverie.config.sizes import WIDTHS
from reverie.config.values import converted
from reverie.errors import InputError


@dataclass(frozen=True, repr=False)
class Config:
    """The whole configuration of a run, apart from its environment."""

    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    run: RunConfig = field(default_factory=RunConfig)
    seed: Annotated[int, Bound(0, 2**31 - 1)] = 0
    """Seed of the parameters, the environments and all sampling."""

    @classmethod
    def of(cls, **settings: Any) -> "Config":
        """Make a config from the defaults and some settings.

        Settings have the names of the command line: `Config.of(train_ratio=32, size="size12m",
        **{"optimizer.learning_rate": 1e-4})`. A group may also be a mapping: `Config.of(run={"steps": 10_000})`.

        Raises:
            InputError: there is no such setting, or a value is not allowed; the message says what is.
        """
        return cls().override(**settings)

    def override(self, **settings: Any) -> "Config":
        """A copy with some settings changed, named as in `of`."""
        hints = _hints(Config)
        values: dict[str, dict[str, Any]] = {}
        for path, value in by_path(settings, hints).items():
            group, _, name = path.rpartition(".")
            values.setdefault(group, {})[name] = converted(hints[path], value, path)
        top = values.pop("", {})
        return replace(self, **top, **{group: replace(getattr(self, group), **some) for group, some in values.items()})

    @classmethod
    def from_file(cls, path: str | Path) -> "Config":
        """Read a config from a YAML file that names some or all settings, as `to_file` writes it or as in `of`."""
        return cls().override(**read_settings(path))

    def to_file(self, path: str | Path) -> None:
        """Write all settings to a YAML file."""
        Path(path).write_text(self.to_yaml(), encoding="utf-8")

    def to_yaml(self) -> str:
        """The text that `to_file` writes."""
        return as_yaml(config_to_dict(self))

    def __post_init__(self) -> None:
        """Check every setting, and store it in exactly its type: 32 as 32.0 where a float is expected."""
        for name, kind in get_type_hints(Config).items():
            if isinstance(kind, type) and is_dataclass(kind):
                object.__setattr__(self, name, _checked(kind, getattr(self, name), name))
        object.__setattr__(self, "seed", converted(_hints(Config)["seed"], self.seed, "seed"))
        _check_together(self)

    def __repr__(self) -> str:
        """The call of `of` that makes an equal config."""
        changed = {path: ours for path, (ours, _) in differences(self, Config()).items()}
        for size, widths in WIDTHS.items():
            if changed and all(getattr(self.model, name) == width for name, width in widths.items()):
                changed = {path: value for path, value in changed.items() if path.removeprefix("model.") not in widths}
                changed = ({} if size == "size1m" else {"size": size}) | changed
        short = {path: name for name, path in SHORT.items()}
        named = {short.get(path, path): value for path, value in changed.items()}
        plain = [f"{name}={value!r}" for name, value in named.items() if name.isidentifier()]
        dotted = ", ".join(f"{name!r}: {value!r}" for name, value in named.items() if not name.isidentifier())
        return f"Config.of({', '.join(plain + ([f'**{{{dotted}}}'] if dotted else []))})"


def config_to_dict(config: Config) -> dict[str, Any]:
    """The config as nested dictionaries of JSON's types."""
    return asdict(config)


def config_from_dict(data: Mapping[str, Any]) -> Config:
    """The inverse of `config_to_dict`; settings that are missing have their defaults.

    Raises:
        InputError: there is no such setting, or a value is not allowed.
    """
    if not isinstance(data, Mapping):
        raise InputError(f"A config must be a mapping with the settings' names, got {data!r}.")
    return Config.of(**data)


def differences(ours: Config, theirs: Config, ignore: tuple[str, ...] = ()) -> dict[str, tuple[Any, Any]]:
    """The settings in which two configs differ, by full name, with both values; names that start with one of `ignore`
    are left out."""
    both = dict(_flatten(asdict(ours))), dict(_flatten(asdict(theirs)))
    return {
        path: (value, both[1][path])
        for path, value in both[0].items()
        if value != both[1][path] and not path.startswith(ignore)
    }


def _flatten(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    items = []
    for name, value in data.items():
        items += _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return items


def _hints(cls: Any, prefix: str = "") -> dict[str, Any]:
    """The annotation of every setting, by its full name."""
    found: dict[str, Any] = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        found |= _hints(hint, f"{prefix}{name}.") if is_dataclass(hint) else {prefix + name: hint}
    return found


def _checked(kind: Any, group: Any, name: str) -> Any:
    """A group of settings, each in its own type and within its bound."""
    if not isinstance(group, kind):
        raise InputError(f"{name} must be a {kind.__name__}, got {group!r}; Config.of accepts a mapping too.")
    return kind(**{key: converted(hint, getattr(group, key), f"{name}.{key}") for key, hint in _hints(kind).items()})


def _check_together(config: Config) -> None:
    low, high = config.behaviour.percentiles
    if not 0 <= low < high <= 100:
        raise InputError(f"behaviour.percentiles must be two numbers with 0 ≤ low < high ≤ 100, got ({low}, {high}).")
    model = config.model
    if model.deter % model.blocks:
        raise InputError(f"model.deter ({model.deter}) must be a multiple of model.blocks ({model.blocks}).")
    channels = 4 * model.depth
    if channels % model.blocks:
        raise InputError(f"4 × model.depth ({channels}) must be a multiple of model.blocks ({model.blocks}).")
    if config.env.mode == "vector" and (config.env.time_limit or config.env.action_repeat > 1):
        raise InputError(
            "env.time_limit and env.action_repeat wrap single environments, but env.mode is 'vector': set both in the "
            "vector environment itself."
        )
    if config.replay.capacity < config.env.envs * (config.replay.length + 1):
        raise InputError(
            f"replay.capacity ({config.replay.capacity}) must hold at least one sequence of "
            f"{config.replay.length + 1} records for each of {config.env.envs} environments."
        )

