"""Reads agents and checkpoints from folders that anyone may have written."""

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

import jax

from reverie.config import Config, config_from_dict
from reverie.errors import InputError
from reverie.learner import Learner, Networks
from reverie.spaces import Spaces
from reverie.storage import Checkpoint, DamagedFileError, Document, Json, Store, as_tree, read_document, read_newest

FORMAT = 2
LARGEST_SPACE = 2**27  # elements
CheckpointChoice = Literal["newest", "best"] | int  # an integer: environment steps


class DamagedCheckpointWarning(UserWarning):
    """An older checkpoint than the newest was used because the newest is damaged."""


class Description(NamedTuple):
    """What an agent.json says."""

    spaces: Spaces
    config: Config
    env: str | None  # the environment's name, if it has one


class SavedCheckpoint(NamedTuple):
    """A checkpoint of a run, as `list_checkpoints` finds it."""

    number: int  # environment steps plus updates: the name of its manifest
    env_steps: int
    updates: int
    score: float | None  # of the evaluation, if this is the best one
    best: bool  # whether this is the one with the best score
    full: bool  # whether training can resume from it; the best one holds only the networks once newer ones replace it


class LoadedNetworks(NamedTuple):
    """The parameters in a checkpoint."""

    networks: Networks
    env_steps: int


def read_description(file: Path) -> Description:
    """What an agent.json says.

    Raises:
        InputError: the file is damaged, or was written by another version; the message names it.
        OSError: the system can't read it.
    """
    try:
        document = read_document(file)
        found = document["format"].value
    except DamagedFileError as error:
        raise DamagedFileError(f"{error} Restore the file from a copy, or start a new run elsewhere.") from error
    if found != FORMAT:
        raise InputError(
            f"'{file}' has format {_shown(found)}, this version of Reverie reads format {FORMAT}. "
            "Use the version that wrote it, or train again."
        )
    spaces, settings = document["spaces"].settings(), document["config"].settings()
    _check_sizes(document["spaces"])
    env = document["env"].text() if "env" in document and document["env"].value is not None else None
    try:
        return Description(Spaces.from_json(spaces), config_from_dict(settings), env)
    except (InputError, ValueError, TypeError, KeyError, OverflowError, AttributeError, AssertionError) as error:
        raise DamagedFileError(f"'{file}' is damaged: {_shortened(error)}") from error


def networks_like(spaces: Spaces, config: Config) -> Networks:
    """Shapes and dtypes of an agent's parameters.

    Raises:
        InputError: no networks of these sizes are possible.
    """
    learner = Learner(spaces.observation, spaces.action, config)
    try:
        return jax.eval_shape(learner.init, jax.random.key(0)).networks
    except InputError:
        raise
    except (ValueError, TypeError, OverflowError, ZeroDivisionError, MemoryError) as error:
        raise InputError(f"Networks of this configuration are impossible: {_shortened(error)}") from error


def read_networks(
    run: Path, like: Networks, choice: CheckpointChoice, warn: Callable[[str], None] | None = None
) -> LoadedNetworks:
    """The parameters in a checkpoint of a run.

    Args:
        run: the run folder.
        like: their shapes and dtypes.
        choice: the newest checkpoint that is not damaged, the best one, or the one of so many environment steps.
        warn: called with a sentence if the newest checkpoint is damaged; None warns through `warnings`.

    Raises:
        InputError: there is no such checkpoint, or it is damaged.
    """
    store = Store(run / "checkpoints")

    def read(checkpoint: Checkpoint) -> LoadedNetworks:
        where = f"checkpoint {checkpoint.count} of '{run}'"
        return LoadedNetworks(as_tree(like, checkpoint.read("networks"), where), _described(checkpoint).env_steps)

    if choice != "newest":
        return read(_chosen(run, store, choice))
    damaged = list[str]()
    loaded = read_newest(store, read, lambda _, problem: damaged.append(problem))
    if loaded is None and damaged:
        raise InputError(f"No checkpoint of '{run}' can be read. {damaged[0]}")
    if loaded is None:
        raise InputError(f"The run in '{run}' has no checkpoint yet; it writes one at intervals and when it stops.")
    if damaged:
        sentence = f"{damaged[0]} Using the checkpoint before it, of {loaded.env_steps:,} environment steps."
        if warn is None:
            warnings.warn(sentence, DamagedCheckpointWarning, stacklevel=3)
        else:
            warn(sentence)
    return loaded


def list_checkpoints(run: str | Path) -> list[SavedCheckpoint]:
    """The checkpoints of a run that can be loaded, the newest first. Damaged ones are left out.

    Raises:
        InputError: a link or a file is in the place of the folder of checkpoints.
    """
    store = Store(Path(run) / "checkpoints")
    found: dict[int, SavedCheckpoint] = {}
    for count in store.counts:
        try:
            found[count] = _described(store.load(count))
        except DamagedFileError:
            continue
    try:
        best = store.best()
        if best is not None:
            found[best.count] = _described(best)._replace(best=True, full=best.count in found)
    except DamagedFileError:
        pass
    return [found[count] for count in sorted(found, reverse=True)]


def find_checkpoint(run: Path, choice: CheckpointChoice) -> SavedCheckpoint:
    """The newest checkpoint that can be loaded, the best one, or the one of so many environment steps.

    Raises:
        InputError: there is no such checkpoint.
    """
    saved = list_checkpoints(run)
    if choice == "newest":
        if found := [one for one in saved if one.full]:
            return found[0]
        raise InputError(f"The run in '{run}' has no checkpoint that can be read.")
    if choice == "best":
        if found := [one for one in saved if one.best]:
            return found[0]
        raise InputError(
            f"The run in '{run}' has no best checkpoint, because it was never evaluated; train with evaluations "
            f"(run.eval_every), or choose another checkpoint: {_listed(saved)}."
        )
    if isinstance(choice, bool) or not isinstance(choice, int):
        raise InputError(f"checkpoint must be 'newest', 'best' or a number of environment steps, got {choice!r}.")
    if found := [one for one in saved if one.env_steps == choice]:
        return found[0]
    raise InputError(f"The run in '{run}' has no checkpoint of {choice:,} environment steps; it has {_listed(saved)}.")


def _chosen(run: Path, store: Store, choice: CheckpointChoice) -> Checkpoint:
    found = find_checkpoint(run, choice)
    best = store.best() if found.best else None
    return store.load(found.number) if best is None else best


def _listed(saved: list[SavedCheckpoint]) -> str:
    steps = [f"{one.env_steps:,}{' (the best)' if one.best else ''}" for one in saved]
    return f"checkpoints of {', '.join(steps)} environment steps" if steps else "none yet"


def _described(checkpoint: Checkpoint) -> SavedCheckpoint:
    progress = checkpoint.document["progress"]
    steps, updates = (progress[name].integer() for name in ("env_steps", "updates"))
    return SavedCheckpoint(checkpoint.count, steps, updates, checkpoint.score, best=False, full=True)


def _check_sizes(spaces: Document) -> None:
    """No space may have more elements than memory can hold."""
    inside = [spaces]
    while inside:
        document = inside.pop()
        if isinstance(document.value, list):
            inside += document.elements()
        elif isinstance(document.value, dict):
            for name, field in document.fields().items():
                inside.append(field)
                if name in ("shape", "n") and isinstance(field.value, list) and _elements(field.value) > LARGEST_SPACE:
                    field.expected(f"a shape of at most {LARGEST_SPACE:,} elements")


def _elements(shape: list[Json]) -> int:
    return math.prod(axis for axis in shape if isinstance(axis, int))


def _shown(value: Json) -> str:
    return repr(value) if isinstance(value, int | str) and len(str(value)) < 50 else type(value).__name__


def _shortened(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) < 500 else f"{text[:500]} …"
