"""Metrics for Weights & Biases. May import: `config`, `errors`, `storage`.

LOGDIR/wandb.json holds the id of the run there, so that a resumed run resumes the same one. Without a network, set
WANDB_MODE=offline and use `wandb sync` later.
"""

from collections.abc import Mapping
from pathlib import Path

from reverie.config import Config, config_to_dict
from reverie.errors import InputError
from reverie.storage import as_json, read_document, write_text


class WeightsAndBiases:
    """Logs rows over `env_steps` to the project that the config names."""

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
        # Its own row counter can't go back to a checkpoint's step.
        self._run.define_metric("*", step_metric="env_steps")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Log a row."""
        self._run.log({**values, "env_steps": step})

    def flush(self) -> None:
        """Weights & Biases decides when it sends rows."""

    def close(self) -> None:
        self._run.finish()


def check_installed() -> None:
    """Raise an InputError that says how to install wandb, if it is missing."""
    try:
        from wandb import init  # noqa: F401, its own folder of runs, named wandb, can be imported as an empty package
    except ImportError as error:
        raise InputError(
            "run.wandb needs Weights & Biases, which is not installed; install it with: pip install 'reverie[wandb]'"
        ) from error


def _known_id(file: Path) -> str | None:
    """The id that an earlier process of this run has left; None if there is none, or it can't be read."""
    try:
        return read_document(file)["id"].text()
    except (OSError, InputError):
        return None
