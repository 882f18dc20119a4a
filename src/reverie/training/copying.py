"""Copies a run as it was at one of its checkpoints, to go back in it without losing what came later.

May import: `agent`, `errors`, `storage`.
"""

import shutil
from pathlib import Path

from reverie.agent import CheckpointChoice, SavedCheckpoint, find_checkpoint
from reverie.errors import InputError
from reverie.storage import Checkpoint, DamagedFileError, Store, copy_checkpoint, open_to_read, replacing, subfolder

LARGEST = 2**40  # bytes of a file
DESCRIPTION = "agent.json"
LOGS = ("config.yaml", "history.jsonl", "metrics.jsonl")


def copy_run(run: str | Path, to: str | Path, checkpoint: CheckpointChoice = "newest") -> Path:
    """Copy a run to a new folder, as it was at a checkpoint; training with that folder as logdir continues from there.

    The run itself stays as it is. Films of dreams and the link to a run at Weights & Biases are not copied.

    Args:
        run: the run's folder.
        to: a folder that doesn't exist or is empty.
        checkpoint: "newest", "best" (the one with the best evaluation), or its environment steps.

    Returns:
        The new folder, as an absolute path.

    Raises:
        InputError: there is no such checkpoint, it holds the networks only, or the new folder is not empty.
        OSError: a file can't be copied. The new folder is then no run; delete it.
    """
    run, to = Path(run).absolute(), Path(to).absolute()
    found = find_full(run, checkpoint)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise InputError(f"'{to}' is not empty; choose a new folder for the copy of '{run}'.")
    to.mkdir(parents=True, exist_ok=True)
    store = Store(run / "checkpoints")
    copy_checkpoint(store.load(found.number), to / "checkpoints")
    if (best := _best(store)) is not None and best.count <= found.number:
        copy_checkpoint(best, to / "checkpoints")
    # Rows after the checkpoint are dropped or hidden when the copy is resumed.
    for name in LOGS:
        _copy(run / name, to / name)
    if (events := subfolder(run, "tensorboard")).is_dir():
        for file in events.iterdir():
            _copy(file, subfolder(to, "tensorboard", create=True) / file.name)
    _copy(run / DESCRIPTION, to / DESCRIPTION)  # last: without it, the folder is no run
    return to


def find_full(run: Path, checkpoint: CheckpointChoice) -> SavedCheckpoint:
    """A checkpoint from which training can resume.

    Raises:
        InputError: there is no such checkpoint, or it holds the networks only.
    """
    found = find_checkpoint(run, checkpoint)
    if not found.full:
        raise InputError(
            f"The checkpoint of {found.env_steps:,} environment steps holds only the networks, because newer ones have "
            "replaced the rest of it. Start a new run from these networks: "
            f"reverie train ENV --from {run} --checkpoint {checkpoint} --logdir NEW."
        )
    return found


def check_newest(run: Path, checkpoint: CheckpointChoice) -> None:
    """Raise an InputError, which says how to continue in a copy, if a run has newer checkpoints than this one."""
    found, newest = find_full(run, checkpoint), find_full(run, "newest")
    if found.number < newest.number:
        raise InputError(
            f"'{run}' has a newer checkpoint, of {newest.env_steps:,} environment steps. To go back to that of "
            f"{found.env_steps:,} without losing the newer one, continue in a copy: "
            f"reverie resume {run} --checkpoint {checkpoint} --logdir {run}-{found.env_steps}."
        )


def _best(store: Store) -> Checkpoint | None:
    try:
        return store.best()
    except DamagedFileError:
        return None


def _copy(file: Path, to: Path) -> None:
    """Copy a regular file, if there is one; a link or folder of this name is left out."""
    try:
        with open_to_read(file, LARGEST) as source, replacing(to) as copy:
            shutil.copyfileobj(source, copy)
    except DamagedFileError:
        return
