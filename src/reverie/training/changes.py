"""Which settings of a run may change when it is resumed. May import: `agent`, `config`, `errors`, `storage`.

Everything may, except for what the saved parameters or the recorded experience depend on.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

from reverie.agent import Agent, Description
from reverie.config import differences
from reverie.errors import InputError
from reverie.storage import Json, as_json

Changes = dict[str, tuple[Json, Json]]  # setting → old and new value

_SIZES, _KEYS = "the saved parameters have these sizes", "the saved parameters belong to these observations"
FIXED = MappingProxyType(
    {
        "seed": "another seed is another run",
        **{f"model.{name}": _SIZES for name in ("deter", "hidden", "classes", "depth", "units", "groups", "blocks")},
        **{f"model.{name}": _KEYS for name in ("encoder_keys", "decoder_keys")},
        "env.action_repeat": "the recorded experience was collected with it",
    }
)


def allowed_changes(run: Path, saved: Description, agent: Agent, env: str | None) -> Changes:
    """The settings that differ between a saved run and an agent that is to continue it.

    Args:
        run: the run folder, for errors.
        saved: what its agent.json says.
        agent: with the new settings.
        env: the new environment's name.

    Raises:
        InputError: a setting can't be changed; the message names all of these, with the reasons.
    """
    changes: Changes = {
        name: (theirs, ours) for name, (ours, theirs) in differences(agent.config, saved.config).items()
    }
    refused = [f"{_shown(name, *changes[name])}, but {FIXED[name]}" for name in changes if name in FIXED]
    if 0 in changes.get("optimizer.warmup", ()):
        refused.append(
            f"{_shown('optimizer.warmup', *changes['optimizer.warmup'])}, but without a warm-up the optimizer has "
            "another state"
        )
    if saved.env != env:
        refused.append(f"{_shown('env', saved.env, env)}, but a run has one environment")
    elif not saved.spaces.fits(agent.spaces):
        refused.append("the environment's spaces differ, but the saved parameters belong to the old ones")
    if refused:
        raise InputError(
            f"The run in '{run}' can't be continued with these settings: {'; '.join(refused)}. Choose another logdir, "
            "or repeat the settings of the run."
        )
    return changes


def history_row(changes: Changes, progress: Mapping[str, Json]) -> str:
    """A line of history.jsonl: the date, how far the run was, and the changed settings, [old, new] each."""
    row = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "env_steps": progress.get("env_steps", 0),
        "updates": progress.get("updates", 0),
        "changed": changes,
    }
    return as_json(row) + "\n"


def _shown(name: str, old: Json, new: Json) -> str:
    return f"{name}: {old} → {new}"
