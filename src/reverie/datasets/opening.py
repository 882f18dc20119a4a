"""Datasets by name: "minari:NAMESPACE/NAME-v0", or a folder. May import: the rest of this room."""

from pathlib import Path

from reverie.datasets.dataset import Dataset, Writer
from reverie.datasets.folder import FolderDataset, FolderWriter
from reverie.datasets.from_minari import PREFIX, MinariDataset, MinariWriter
from reverie.spaces import Spaces


def open_dataset(name: str | Path) -> Dataset:
    """Open a dataset to read.

    Args:
        name: "minari:NAMESPACE/NAME-v0", or a folder as `reverie.datasets.folder` describes it.

    Raises:
        DatasetError: there is none, or Minari is not installed.
        DamagedFileError: its description can't be read.
    """
    text = str(name)
    return MinariDataset(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else FolderDataset(Path(name))


def create_dataset(name: str | Path, spaces: Spaces, env: str | None = None) -> Writer:
    """Create a dataset to write to; see `open_dataset` for its name.

    Args:
        name: of a dataset that does not exist yet.
        spaces: the spaces of the episodes' values.
        env: the name of the environment they were recorded in.

    Raises:
        DatasetError: the dataset exists, or Minari is not installed.
    """
    text = str(name)
    if text.startswith(PREFIX):
        return MinariWriter(text.removeprefix(PREFIX), spaces, env)
    return FolderWriter(Path(name), spaces, env)
