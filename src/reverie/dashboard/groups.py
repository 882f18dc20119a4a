"""The settings in which runs differ, and which runs belong together. May import: `results`, `text`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reverie.results.curves import COMPARED, IGNORED
from reverie.text import printable

LONGEST = 200  # characters of a value that are shown
SEED = "seed"

Settings = Mapping[str, str]


def flattened(config: Mapping[str, Any]) -> dict[str, str]:
    """The settings of a run's config by dotted name, as text."""
    flat: dict[str, str] = {}
    for section, part in config.items():
        entries = part.items() if isinstance(part, Mapping) else [(None, part)]
        for name, value in entries:
            flat[printable(section if name is None else f"{section}.{name}")[:LONGEST]] = _shown(value)
    return flat


def differing(runs: Sequence[Settings]) -> list[str]:
    """The names of settings that are not the same in all runs."""
    values: dict[str, set[str | None]] = defaultdict(set)
    for name in {name for settings in runs for name in settings}:
        values[name] = {settings.get(name) for settings in runs}
    return sorted(name for name, found in values.items() if len(found) > 1)


def labels(runs: Sequence[tuple[str | None, Settings]]) -> list[str]:
    """For each environment and settings, what distinguishes the run from others of its environment but the seed.

    Runs of an environment with the same label differ only in what does not change learning; see `results.curves`.
    """
    by_env: dict[str | None, list[Settings]] = defaultdict(list)
    for env, settings in runs:
        by_env[env].append(settings)
    names = {env: [name for name in differing(all_of_env) if _matters(name)] for env, all_of_env in by_env.items()}
    return [
        ", ".join(f"{name} {settings[name]}" for name in names[env] if name in settings) or "default"
        for env, settings in runs
    ]


def selected(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """The settings with these names."""
    return {name: settings[name] for name in names if name in settings}


def _matters(name: str) -> bool:
    return name != SEED and (name in COMPARED or not name.startswith(IGNORED))


def _shown(value: Any) -> str:
    try:
        return printable(str(value))[:LONGEST]
    except ValueError:  # an integer of thousands of digits
        return "…"
