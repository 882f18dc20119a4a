"""Metrics for Weights & Biases. May import: `config`, `errors`, `storage`.

A run keeps its id in LOGDIR/wandb.json, so that continuing it continues the same one there. Without a network:
WANDB_MODE=offline, and `wandb sync` later.
"""

from collections.abc import Mapping
from pathlib import Path

from reverie.config import Config, config_to_dict
from reverie.errors import InputError
from reverie.storage import as_json, read_document, write_text


class WeightsAndBiases:
    """Rows over `env_steps`, in the project that the config names."""

    name = "Weights & Biases"

    def __init__(self, folder: Path, config: Config):
        check_installed()
        import wandb

        project, known = config.run.wandb, _known_id(folder / "wandb.json")
        self._run = wandb.init(
            project=project,
            dir=str(folder),
            name=folder.name,
            id=known,
            resume="allow" if known else None,
            config=config_to_dict(config),
            settings=wandb.Settings(console="off", silent=True),
        )
        write_text(folder / "wandb.json", as_json({"project": project, "id": self._run.id}))
        # Not their own count of rows, which may not go back where a run is continued from a checkpoint.
        self._run.define_metric("*", step_metric="env_steps")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        self._run.log({**values, "env_steps": step})

    def flush(self) -> None:
        """It sends what it has when it likes."""

    def close(self) -> None:
        self._run.finish()


def check_installed() -> None:
    """Raises an InputError that says how to install it, if it isn't."""
    try:
        from wandb import init  # noqa: F401, a folder of this name would be a package too, but an empty one
    except ImportError as error:
        raise InputError(
            "run.wandb asks for Weights & Biases, which is not installed: pip install 'reverie[wandb]'."
        ) from error


def _known_id(file: Path) -> str | None:
    """Of an earlier part of this run; None if there was none, or it can't be read."""
    try:
        return read_document(file)["id"].text()
    except (OSError, InputError):
        return None
