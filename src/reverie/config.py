"""Every default of Reverie, and the only place where one stands. May import: nothing of Reverie.

All but sizes, the environment's own settings and the train ratio are the paper's, the same for every task.
Configs are frozen; make a changed one with `dataclasses.replace`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from reverie.errors import InputError


@dataclass(frozen=True)
class ModelConfig:
    """Widths of the networks (section 2); `reverie.presets.SIZES` holds the published combinations."""

    deter: int = 512  # D, units of the recurrent state
    hidden: int = 64  # units inside the recurrent model
    classes: int = 4  # K, classes per latent group
    depth: int = 4  # channels of the convolutions, times 2, 3, 4, 4
    units: int = 64  # width of every other network
    groups: int = 32  # S, latent groups
    blocks: int = 8  # G, blocks of the recurrence
    unimix: float = 0.01  # uniform share in the latent's categoricals
    # Regular expressions, of the observations that `env.keys` leaves: which the policy sees, and which are predicted.
    encoder_keys: str = ".*"
    decoder_keys: str = ".*"
    # Networks of your own for single observations, as pairs KEY=NAME; see `reverie.register_encoder`.
    encoders: tuple[str, ...] = ()
    decoders: tuple[str, ...] = ()
    compute_dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: float32 on CPU, bfloat16 elsewhere


@dataclass(frozen=True)
class LossConfig:
    """Scales of the loss terms (sections 3 and 4)."""

    observation: float = 1.0  # every decoded key
    rew: float = 1.0
    con: float = 1.0
    dyn: float = 1.0
    rep: float = 0.1
    policy: float = 1.0
    value: float = 1.0
    repval: float = 0.3
    free_nats: float = 1.0  # the KL below which dyn and rep have no gradient


@dataclass(frozen=True)
class BehaviourConfig:
    """Imagination, returns and the actor (section 4)."""

    imagination_length: int = 15  # H
    horizon: int = 333  # the discount is 1 - 1 / horizon
    trace: float = 0.95  # λ
    entropy_scale: float = 3e-4
    slow_rate: float = 0.02  # EMA of the slow critic
    scale_rate: float = 0.01  # EMA of the return percentiles
    percentiles: tuple[float, float] = (5.0, 95.0)

    @property
    def discount(self) -> float:
        return 1 - 1 / self.horizon


@dataclass(frozen=True)
class OptimizerConfig:
    """One optimiser for the whole agent (section 4)."""

    learning_rate: float = 4e-5
    warmup: int = 1000  # updates of linear warm-up from 0
    clip: float = 0.3  # AGC: largest gradient norm, relative to the parameter's
    clip_floor: float = 1e-3
    decay_rms: float = 0.999  # β₂
    decay_momentum: float = 0.9  # β₁
    epsilon: float = 1e-20


@dataclass(frozen=True)
class ReplayConfig:
    """What is kept and how it is replayed (section 5)."""

    capacity: int = 5_000_000  # records
    batch: int = 16  # B, sequences per update
    length: int = 64  # T, trained steps per sequence; one context record comes on top
    # Where it is kept: in the host's memory, in a file in the logdir for more than that, or beside the model.
    home: Literal["memory", "disk", "device"] = "memory"
    # What it may take there, such as 8GiB; auto: a share of what is free. More is refused at the start.
    memory: str = "auto"


@dataclass(frozen=True)
class EnvConfig:
    """How environments are stepped."""

    envs: int = 4
    keys: str = ".*"  # a regular expression: which observations of a Dict or Tuple are taken at all
    # serial: one after the other, in this process. parallel: each in a process of its own, in lockstep; for slow ones.
    # async: so too, but none waits for another; no two runs are the same then. vector: a VectorEnv has all of them.
    # compiled: inside the compiled program, if written in JAX. auto: compiled where that can be, else serial.
    mode: Literal["auto", "serial", "parallel", "async", "vector", "compiled"] = "auto"
    time_limit: int = 0  # decisions after which an episode is cut off; 0: only the environment's own limit
    action_repeat: int = 1  # how often an action is done; all of them are one decision, and their rewards are added up
    restarts: int = 10  # how often, in all, an environment that fails is made anew before the run ends
    timeout: float = 300.0  # seconds after which an environment in a process of its own has failed


@dataclass(frozen=True)
class RunConfig:
    """How long to train, and what to write down."""

    steps: int = 100_000  # environment steps (decisions)
    train_ratio: float = 512.0  # replayed steps per environment step
    log_every: float = 5.0  # seconds between metrics
    checkpoint_every: float = 300.0  # seconds between checkpoints
    keep: int = 2  # checkpoints kept
    eval_every: int = 0  # environment steps between evaluations on environments of their own; 0: never
    eval_episodes: int = 10  # of each evaluation
    dream_every: float = 300.0  # seconds between open-loop predictions, see dreams/ in the logdir; 0: none
    tensorboard: bool = True
    wandb: str = ""  # the project of Weights & Biases that gets the metrics too; empty: none


@dataclass(frozen=True)
class Config:
    """Everything that decides a run, next to the environment."""

    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    behaviour: BehaviourConfig = field(default_factory=BehaviourConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    env: EnvConfig = field(default_factory=EnvConfig)
    run: RunConfig = field(default_factory=RunConfig)
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self)


def config_to_dict(config: Config) -> dict[str, Any]:
    """The config in JSON's types."""
    return asdict(config)


def config_from_dict(data: Mapping[str, Any]) -> Config:
    """The inverse of `config_to_dict`, also of earlier versions; a ValueError for unknown names and wrong types."""
    return _from_dict(Config, _renewed(data), "config")


def _renewed(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config of an earlier version, in which `env.mode` was `env.processes`."""
    env = data.get("env") if isinstance(data, Mapping) else None
    if not isinstance(env, Mapping) or "processes" not in env or "mode" in env:
        return data
    rest = {name: value for name, value in env.items() if name != "processes"}
    return {**data, "env": {**rest, "mode": "parallel" if env["processes"] else "serial"}}


def differences(ours: Config, theirs: Config, ignore: tuple[str, ...] = ()) -> dict[str, tuple[Any, Any]]:
    """Dotted name → both values, where two configs differ; names in `ignore` and below are left out."""
    flat = dict(_flatten(asdict(theirs)))
    return {
        name: (value, flat[name])
        for name, value in _flatten(asdict(ours))
        if value != flat[name] and not name.startswith(ignore)
    }


def _flatten(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    items = []
    for name, value in data.items():
        items += _flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]
    return items


def _from_dict(cls: Any, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise InputError(f"{where} should be an object with the fields of {cls.__name__}, got {data!r}.")
    hints = get_type_hints(cls)
    unknown = set(data) - {field.name for field in fields(cls)}
    if unknown:
        raise InputError(f"{where} has no field {sorted(unknown)[0]!r}; it has {', '.join(hints)}.")
    return cls(**{name: _convert(hints[name], value, f"{where}.{name}") for name, value in data.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint):
        return _from_dict(hint, value, where)
    if get_origin(hint) is Literal:
        accepted, value_ok = get_args(hint), value in get_args(hint)
        expected = f"one of {', '.join(map(repr, accepted))}"
    elif get_origin(hint) is tuple:
        value = tuple(value) if isinstance(value, list | tuple) else value
        texts = get_args(hint)[0] is str
        item_type, expected = (str, "a list of texts") if texts else (int | float, "a list of numbers")
        value_ok = isinstance(value, tuple) and all(isinstance(item, item_type) for item in value)
    else:
        allowed = (int, float) if hint is float else (hint,)
        value_ok = isinstance(value, allowed) and (hint is bool or not isinstance(value, bool))
        expected = {int: "an integer", float: "a number", bool: "true or false", str: "a text"}.get(hint, str(hint))
    if not value_ok:
        raise InputError(f"{where} should be {expected}, got {value!r}.")
    return float(value) if hint is float else value


# Bounds that every value must keep, by dotted name: (smallest, largest), each inclusive.
BOUNDS = MappingProxyType(
    {
        **{f"model.{name}": (1, None) for name in ("deter", "hidden", "depth", "units", "groups", "blocks")},
        "model.classes": (2, 256),  # replay keeps class indices as bytes
        "model.unimix": (0, 1),
        **{f"loss.{f.name}": (0, None) for f in fields(LossConfig)},
        "behaviour.imagination_length": (1, None),
        "behaviour.horizon": (1, None),
        "behaviour.trace": (0, 1),
        "behaviour.slow_rate": (0, 1),
        "behaviour.scale_rate": (0, 1),
        "optimizer.learning_rate": (0, None),
        "optimizer.warmup": (0, None),
        "optimizer.clip": (1e-6, None),
        "optimizer.clip_floor": (1e-12, None),
        "optimizer.decay_rms": (0, 0.9999999),
        "optimizer.decay_momentum": (0, 0.9999999),
        "optimizer.epsilon": (0, None),
        "behaviour.entropy_scale": (0, None),
        "replay.batch": (1, None),
        "replay.length": (2, None),
        "env.envs": (1, None),
        "env.time_limit": (0, None),
        "env.action_repeat": (1, None),
        "env.restarts": (0, None),
        "env.timeout": (1e-3, None),
        "run.steps": (1, None),
        "run.train_ratio": (0, None),
        "run.log_every": (0, None),
        "run.checkpoint_every": (0, None),
        "run.keep": (1, None),
        "run.eval_every": (0, None),
        "run.eval_episodes": (1, None),
        "run.dream_every": (0, None),
        "seed": (0, 2**31 - 1),
    }
)


def _check(config: Config) -> None:
    values = dict(_flatten(asdict(config)))
    for name, (low, high) in BOUNDS.items():
        value = values[name]
        if not (low is None or value >= low) or not (high is None or value <= high):
            span = f"at least {low}" if high is None else f"between {low} and {high}"
            raise InputError(f"{name} must be {span}, got {value}.")
    percentiles = config.behaviour.percentiles
    if len(percentiles) != 2 or not 0 <= percentiles[0] < percentiles[1] <= 100:
        raise InputError(f"behaviour.percentiles must be two numbers, 0 ≤ low < high ≤ 100, got {percentiles}.")
    model = config.model
    if model.deter % model.blocks:
        raise InputError(f"model.deter ({model.deter}) must be a multiple of model.blocks ({model.blocks}).")
    channels = 4 * model.depth
    if channels % model.blocks:
        raise InputError(f"4 × model.depth ({channels}) must be a multiple of model.blocks ({model.blocks}).")
    if config.env.mode == "vector" and (config.env.time_limit or config.env.action_repeat > 1):
        raise InputError(
            "env.time_limit and env.action_repeat go around single environments, but env.mode is 'vector': give the "
            "vector environment its own."
        )
    if config.replay.capacity < config.env.envs * (config.replay.length + 1):
        raise InputError(
            f"replay.capacity ({config.replay.capacity}) must hold one sequence of {config.replay.length + 1} "
            f"records for each of {config.env.envs} environments."
        )
