"""Reads all experience out of a run: as one recording per environment, or as episodes. May import: `storage`."""

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np

from reverie.errors import InputError
from reverie.experience import Experience
from reverie.replay.excerpt import as_experience
from reverie.replay.layout import Leaves
from reverie.replay.saved import SavedReplay
from reverie.replay.streams import KINDS
from reverie.storage import Checkpoint, DamagedFileError, Store, read_newest


def read_run(path: str | Path) -> list[Experience]:
    """Read the replay buffer in the newest checkpoint of a run that is not damaged.

    Everything is held in memory, and the files' checksums are checked. `split_episodes` takes a recording apart.

    Args:
        path: the run folder.

    Returns:
        The records of each environment (stream) in the order of time, leaves (T, …) of NumPy arrays. T differs between
        environments that do not advance together. Latents (`deter`, `stoch`) are the ones last computed.

    Raises:
        InputError: the run has no checkpoint, or none that can be read.
    """
    folder, damaged = Path(path) / "checkpoints", list[str]()
    streams = read_newest(Store(folder), _read, lambda _, problem: damaged.append(problem))
    if streams is None:
        raise InputError(f"The run in '{path}' has no checkpoint to read. {' '.join(damaged[:1])}".strip())
    return streams


def split_episodes(records: Experience) -> Iterator[Experience]:
    """Split the records of one stream, leaves (T, …), into its episodes, in the order of time.

    The oldest episode may lack its beginning (`is_first[0]` is False) because the buffer was full, and the newest its
    end (`is_last[-1]` is False) because it is still running.
    """
    begins = np.flatnonzero(records.is_first)
    bounds = np.unique(np.concatenate([[0], begins, [len(records.reward)]]))
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield jax.tree.map(lambda leaf: leaf[begin:end], records)  # noqa: B023, called at once


def _read(checkpoint: Checkpoint) -> list[Experience]:
    saved = SavedReplay.read(checkpoint.document["replay"])
    found: list[list[tuple[np.ndarray, Leaves]]] = [[] for _ in range(saved.streams)]
    for begin in saved.segments():
        ids, held = saved.ids(begin), saved.held(saved.ids(begin))
        parts = [checkpoint.read(f"replay.{kind}.{begin // saved.segment:06d}") for kind in KINDS]
        leaves = {name: x for part in parts for name, x in part.items()}
        for name, x in leaves.items():
            if x.shape[:2] != ids.shape:
                raise DamagedFileError(
                    f"In checkpoint {checkpoint.count} of '{checkpoint.folder.parent}', {name!r} has the shape "
                    f"{x.shape}, expected {ids.shape} and the shape of a record."
                )
        for stream, rows in enumerate(held):
            found[stream].append((ids[stream, rows], {name: x[stream, rows] for name, x in leaves.items()}))
    return [_in_order(pieces, checkpoint) for pieces in found if pieces]


def _in_order(pieces: list[tuple[np.ndarray, Leaves]], checkpoint: Checkpoint) -> Experience:
    order = np.argsort(np.concatenate([ids for ids, _ in pieces]))
    try:
        return as_experience({name: np.concatenate([x[name] for _, x in pieces])[order] for name in pieces[0][1]})
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedFileError(f"The replay buffer in checkpoint {checkpoint.count} is damaged ({error}).") from error
