"""What a person may call a setting, and where its value belongs. May import: `errors`, `sizes`."""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from reverie.config.sizes import WIDTHS
from reverie.errors import InputError

SHORT = MappingProxyType(
    {
        "steps": "run.steps",
        "train_ratio": "run.train_ratio",
        "envs": "env.envs",
        "keys": "env.keys",
        "encoder_keys": "model.encoder_keys",
        "decoder_keys": "model.decoder_keys",
        "replay_memory": "replay.memory",
        "replay_home": "replay.home",
        "replay_capacity": "replay.capacity",
        "dataset": "replay.dataset",
        "log_every": "run.log_every",
        "checkpoint_every": "run.checkpoint_every",
        "keep": "run.keep",
        "eval_every": "run.eval_every",
        "dream_every": "run.dream_every",
        "wandb": "run.wandb",
    }
)
"""Short names of the settings that change most often, on the command line and in Python."""


ELSEWHERE = MappingProxyType(
    {
        "lr": "optimizer.learning_rate",
        "batch_size": "replay.batch",
        "batch_length": "replay.length",
        "sequence_length": "replay.length",
        "seq_len": "replay.length",
        "buffer_size": "replay.capacity",
        "replay_size": "replay.capacity",
        "num_envs": "envs",
        "n_envs": "envs",
        "total_steps": "steps",
        "timesteps": "steps",
        "total_timesteps": "steps",
        "gamma": "behaviour.horizon",
        "discount": "behaviour.horizon",
        "lambda": "behaviour.trace",
        "entropy_coef": "behaviour.entropy_scale",
        "ent_coef": "behaviour.entropy_scale",
        "grad_clip": "optimizer.clip",
        "precision": "model.compute_dtype",
    }
)
"""Names that other libraries have for these settings, by which a person may look for them."""


def by_path(settings: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """Settings by their full names, in the order in which they apply: explicit settings override a model size.

    Args:
        settings: values by full name ("run.steps"), by short name ("steps"), in groups ({"run": {"steps": 1}}), and
            "size" for a published model size.
        paths: the full name of every setting.

    Raises:
        InputError: a setting or a size does not exist; the message names the closest ones.
    """
    paths = list(paths)
    groups = {path.rpartition(".")[0] for path in paths} - {""}
    named = list(_named(settings, groups))
    found = {path: width for name, size in named if name == "size" for path, width in _widths(size)}
    for name, value in named:
        if name != "size":
            found[_path(name, paths)] = value
    return found


def _named(settings: Mapping[str, Any], groups: set[str], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every name and value; names may be written with hyphens, as flags are."""
    for written, value in settings.items():
        name = prefix + str(written).replace("-", "_")
        if name not in groups:
            yield name, value
        elif isinstance(value, Mapping):
            yield from _named(value, groups, f"{name}.")
        else:
            raise InputError(f"{name} is a group of settings: give a mapping, or {name}.NAME; got {value!r}.")


def _path(name: str, paths: list[str]) -> str:
    path = SHORT.get(name, name)
    if path in paths:
        return path
    raise InputError(f"There is no setting '{name}'{_suggestion(name, paths)}.")


def _suggestion(name: str, paths: list[str]) -> str:
    """The settings whose last part is this name, else those with a similar name, under their short names."""
    last = name.rpartition(".")[2]
    if last in ELSEWHERE:
        return f" (did you mean {ELSEWHERE[last]!r}?)"
    same = [path for path in paths if path.rpartition(".")[2] == last]
    near = {path.rpartition(".")[2]: path for path in paths} | {one: one for one in (*SHORT, "size", *paths)}
    found = same or [near[match] for match in difflib.get_close_matches(name, near, n=2)]
    shorter = {path: short for short, path in SHORT.items()}
    close = dict.fromkeys(shorter.get(path, path) for path in found)
    return f" (did you mean {' or '.join(f'{one!r}' for one in close)}?)" if close else ""


def _widths(size: Any) -> Iterator[tuple[str, int]]:
    if size not in WIDTHS:
        raise InputError(f"size must be one of {', '.join(WIDTHS)}; got {size!r}.")
    return ((f"model.{name}", width) for name, width in WIDTHS[size].items())
