"""A dataset in a folder: one file of arrays per episode, and `dataset.json` with the spaces.

An episode of T steps is a `.safetensors` or `.npz` file with these arrays, KEY as `reverie inspect` shows it:

    observation, or observation/KEY   (T + 1, …)  before the first step and after each one
    action, or action/KEY             (T, …)      in the environment's own units
    reward                            (T,)        may be missing
    terminated, truncated             ()          booleans, how the last step ended; false if missing

Only the bare names are used where a space is neither a Dict nor a Tuple. Files are read in the order of their names.
Without `dataset.json`, the spaces are those of the environment that the dataset is used with. Nothing is unpickled.

May import: `dataset`, `episode` of this room; `spaces`, `storage`.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from reverie.datasets.dataset import DatasetError
from reverie.datasets.episode import Episode
from reverie.errors import InputError
from reverie.spaces import Leaf, Spaces, by_array_name, nest
from reverie.storage import DamagedFileError, open_to_read, read_arrays, read_document, write_arrays, write_text

DESCRIPTION = "dataset.json"
FORMAT = 1
SUFFIXES = (".safetensors", ".npz")
LARGEST = 2**36  # bytes of an episode

Arrays = Mapping[str, np.ndarray]


class FolderDataset:
    """The episodes in a folder; see this file's first lines for the format, and `Dataset` for the interface."""

    def __init__(self, folder: Path) -> None:
        self.name, self.spaces, self.env = str(folder), None, None
        if not folder.is_dir():
            raise DatasetError(f"There is no dataset in '{folder}': name a folder of episodes.")
        self._files = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
        if not self._files:
            raise DatasetError(f"'{folder}' holds no episodes: expected files that end in {' or '.join(SUFFIXES)}.")
        if (folder / DESCRIPTION).exists():
            document = read_document(folder / DESCRIPTION)
            if document["format"].integer() != FORMAT:
                document["format"].expected(f"{FORMAT}, the only one that this version of Reverie reads")
            self.spaces = Spaces.from_json(document["spaces"].mapping())
            self.env = document["env"].text() if document["env"].value is not None else None

    def __len__(self) -> int:
        return len(self._files)

    def episodes(self, spaces: Spaces) -> Iterator[tuple[str, Episode]]:
        for path in self._files:
            try:
                yield f"'{path}'", _episode(_read(path), spaces)
            except (ValueError, OSError) as error:
                raise DatasetError(f"Episode '{path}' can't be read: {error}") from error


class FolderWriter:
    """Writes episodes to a new folder.

    Args:
        folder: where nothing or an empty folder is.
        spaces: the spaces of the episodes' values.
        env: the name of the environment they were recorded in.

    Raises:
        DatasetError: the folder holds something.
    """

    def __init__(self, folder: Path, spaces: Spaces, env: str | None) -> None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DatasetError(f"'{folder}' is not empty: choose another place for the dataset, or remove it first.")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._spaces, self._env, self._count = folder, spaces, env, 0

    def add(self, episode: Episode) -> None:
        arrays = {
            **_named("observation", self._spaces.observation_leaves, episode.observations),
            **_named("action", self._spaces.action_leaves, episode.actions),
            **({} if episode.rewards is None else {"reward": np.asarray(episode.rewards)}),
            "terminated": np.array(episode.terminated),
            "truncated": np.array(episode.truncated),
        }
        write_arrays(self._folder / f"episode_{self._count:06d}.safetensors", arrays)
        self._count += 1

    def close(self) -> None:
        description = {"format": FORMAT, "env": self._env, "spaces": self._spaces.to_json()}
        write_text(self._folder / DESCRIPTION, json.dumps(description, indent=2))


def _read(path: Path) -> Arrays:
    if path.suffix == ".safetensors":
        return read_arrays(path)
    with open_to_read(path, LARGEST) as file:
        try:
            with np.load(file, allow_pickle=False) as loaded:
                return dict(loaded)
        except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
            raise DamagedFileError(f"it is not an archive of NumPy arrays ({error}).") from error


def _episode(arrays: Arrays, spaces: Spaces) -> Episode:
    observed = by_array_name("observation", spaces.observation_leaves)
    acted = by_array_name("action", spaces.action_leaves)
    flags = ("terminated", "truncated")
    known = {*observed, *acted, "reward", *flags}
    if unknown := sorted(set(arrays) - known):
        raise InputError(f"it has the unknown array {unknown[0]!r}; known are {', '.join(sorted(known))}.")
    if missing := sorted({*observed, *acted} - set(arrays)):
        raise InputError(f"it lacks the array {missing[0]!r}.")
    for name in flags:
        if name in arrays and (arrays[name].shape != () or arrays[name].dtype != bool):
            raise InputError(f"{name!r} must be a single boolean, got {arrays[name].dtype} {arrays[name].shape}.")
    if "reward" in arrays and (arrays["reward"].ndim != 1 or arrays["reward"].dtype.kind not in "fiub"):
        raise InputError(f"'reward' must be numbers (T,), got {arrays['reward'].dtype} {arrays['reward'].shape}.")
    return Episode(
        nest(spaces.observation_space, {leaf.path: arrays[name] for name, leaf in observed.items()}),
        nest(spaces.action_space, {leaf.path: arrays[name] for name, leaf in acted.items()}),
        arrays.get("reward"),
        *(bool(arrays.get(name, False)) for name in flags),
    )


def _named(what: str, leaves: Mapping[str, Leaf], values: Any) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf.pick(values, what)) for name, leaf in by_array_name(what, leaves).items()}
