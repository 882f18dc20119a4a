"""The run folder: what a run is of, and its checkpoints. May import: `agent` and below, `replay`, `storage`, `changes`.

agent.json           format, spaces, config and the environment's name
config.yaml          the config again, to start another run with: reverie train ENV --config config.yaml
history.jsonl        when the settings of the run were changed, and how
checkpoints/         see `reverie.storage.manifests`; counted by environment steps plus updates, which grows with either
    networks, learner    everything that an update changes
    loop                 what the training loop carries from step to step
    replay.…             the replay buffer in parts, of which only changed ones are written
metrics.jsonl, tensorboard/
.lock                held by the process that trains here
"""

import json
import os
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from reverie.agent import Agent, read_description
from reverie.errors import InputError
from reverie.experience import Experience
from reverie.learner import LearnerState
from reverie.replay import Replay
from reverie.storage import (
    Checkpoint,
    DamagedFileError,
    Document,
    FixedFolder,
    GuaranteeWarning,
    Json,
    Part,
    Store,
    as_tree,
    copied,
    open_to_append,
    read_newest,
    write_arrays,
    write_text,
)
from reverie.training.changes import Changes, allowed_changes, history_row

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class BusyError(InputError):
    """Another process trains in the folder."""


class Restored(NamedTuple):
    """What a checkpoint held besides the replay buffer, which has been filled."""

    state: LearnerState
    progress: dict[str, Json]
    loop: dict[str, np.ndarray]


class RunFolder:
    """Opens a run folder, or starts one.

    Args:
        path: the folder; created if it is missing.
        agent: the agent that is trained.
        env: the environment's name, if it has one.
        keep: how many of the newest checkpoints are kept.
        warn: called with a sentence if the file system lacks something that the run's safety rests on; None warns
            through `warnings`.

    Attributes:
        path: absolute.
        changes: settings that differ from the run's so far, by name: (old, new). `restore` makes them the run's.

    Raises:
        InputError: the folder holds something else, a run of another environment, or a run whose settings can't be
            changed to these; or another process trains in it. The folder is left as it is.
        OSError: the folder can't be written to.
    """

    def __init__(
        self, path: Path, agent: Agent, env: str | None, keep: int, warn: Callable[[str], None] | None = None
    ) -> None:
        self.path = path.absolute()
        self.changes: Changes = {}
        self._description = json.dumps({**agent.description(), "env": env}, indent=2)
        self._config = agent.config
        file = self.path / "agent.json"
        if file.exists() or file.is_symlink():
            self.changes = allowed_changes(self.path, read_description(file), agent, env)
        elif self.path.exists() and any(not found.name.startswith(".") for found in self.path.iterdir()):
            raise InputError(f"'{path}' is not empty and holds no run; choose another logdir.")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.path / ".lock", warn)
        self._place = FixedFolder(self.path)
        try:
            if not file.exists():
                self._describe()
        except BaseException:
            self._lock.close()
            self._place.close()
            raise
        self._store = Store(self.path / "checkpoints", keep, best=("networks",), check=self._place.check)

    @property
    def newest(self) -> int | None:
        """The count of the newest checkpoint; None if there is none."""
        return next(iter(self._store.counts), None)

    def holds(self, count: int) -> bool:
        """Whether the newest checkpoint has this count, and is not that of another run in this one's place."""
        try:
            self.check()
        except InputError:
            return False
        return self.newest == count

    def problem(self) -> str | None:
        """What went wrong in the last save; returned once."""
        return self._store.problem()

    def check(self) -> None:
        """Raise an InputError if the folder was moved, deleted or replaced since it was opened."""
        self._place.check()

    def save(
        self,
        state: LearnerState,
        replay: Replay,
        loop: Mapping[str, Any],
        progress: Mapping[str, Json],
        *,
        wait: bool = False,
    ) -> None:
        """Copy everything that belongs to this moment, and write it in the background.

        Does nothing if the newest checkpoint is of this moment or, without `wait`, while the last save is running.

        Args:
            state: what an update changes.
            replay: the replay buffer.
            loop: a tree of what the training loop carries from step to step.
            progress: counters and the like, in JSON's types.
            wait: block until the checkpoint is on disk, or has failed; `holds` says which, `problem` why.
        """
        if wait:
            self._store.wait()
        count = progress["env_steps"] + progress["updates"]
        if self.holds(count):
            return
        parts = {
            "networks": Part(None, partial(copied, state.networks)),
            "learner": Part(None, partial(copied, state[1:])),
            "loop": Part(None, partial(copied, loop)),
            **{f"replay.{name}": Part(*part) for name, part in replay.parts().items()},
        }
        versions = {name: _version(name) for name in ("reverie", "jax", "numpy")}
        meta = {"progress": dict(progress), "replay": replay.state(), "versions": versions}
        self._store.save(count, meta, parts, wait=wait)

    def beats_best(self, score: float) -> bool:
        """Whether an evaluation score is higher than that of the best checkpoint so far."""
        return self._store.beats_best(score)

    def mark_best(self, score: float) -> None:
        """Keep the networks in the newest checkpoint, besides the newest ones, if their score is the highest so far.

        Call it right after `save` with the evaluated state; blocks until that save is finished.
        """
        self._store.wait()
        if self.newest is not None and self._store.failure is None:
            self._store.mark_best(self.newest, score)

    def keep_batch(self, batch: Experience) -> str:
        """Write a batch for inspection, in place of the last one; returns where it is, or why it could not be written.

        The result completes a sentence about the batch.
        """
        path = self.path / "skipped_batch.safetensors"
        try:
            self.check()
            write_arrays(path, copied(batch))
        except (OSError, InputError) as error:
            return f"could not be written ({error})"
        return f"is in '{path}'"

    def restore(self, state: LearnerState, replay: Replay, warn: Callable[[str], None]) -> Restored | None:
        """Read the newest checkpoint that is not damaged, fill the replay buffer, and record changed settings.

        Args:
            state: a fresh one, for its structure.
            replay: an empty one. It may have another number of streams than the saved one.
            warn: called with a sentence for each damaged checkpoint; those are set aside.

        Returns:
            None if there is no checkpoint.

        Raises:
            InputError: there are checkpoints, but none can be read.
        """
        damaged: dict[int, str] = {}
        restored = read_newest(self._store, partial(self._read, state, replay), damaged.__setitem__)
        if restored is None and damaged:
            raise InputError(
                f"No checkpoint of '{self.path}' can be read; restore one from a copy, or start elsewhere. "
                f"{next(iter(damaged.values()))}"
            )
        for count, problem in damaged.items():
            warn(f"{problem} Continuing from the checkpoint before it.")
            self._store.set_aside(count)
        if self.changes:
            self.check()
            with open_to_append(self.path / "history.jsonl") as file:
                file.write(history_row(self.changes, restored.progress if restored else {}).encode())
            self._describe()
        return restored

    def _describe(self) -> None:
        """Write what this is a run of."""
        write_text(self.path / "config.yaml", self._config.to_yaml())
        write_text(self.path / "agent.json", self._description)

    def _read(self, state: LearnerState, replay: Replay, checkpoint: Checkpoint) -> Restored:
        where = f"checkpoint {checkpoint.count} of '{self.path}'"
        networks = as_tree(state.networks, checkpoint.read("networks"), where)
        rest = as_tree(tuple(state[1:]), checkpoint.read("learner"), where)
        progress = _progress(checkpoint.document["progress"], self._config.env.envs)
        if (count := progress["env_steps"] + progress["updates"]) != checkpoint.count:
            raise DamagedFileError(f"{where[0].upper()}{where[1:]} is damaged: its steps and updates are {count:,}.")
        loop = self._loop_arrays(checkpoint, progress)
        try:
            same = replay.restore(checkpoint.document["replay"], lambda name: checkpoint.read(f"replay.{name}"))
        except DamagedFileError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFileError(f"The replay buffer in {where} can't be read ({error}).") from error
        if same:
            versions = {f"replay.{name}": version for name, (version, _) in replay.parts().items()}
            self._store.remember(checkpoint, versions)
        return Restored(LearnerState(networks, *rest), progress, loop)

    def _loop_arrays(self, checkpoint: Checkpoint, progress: dict[str, Json]) -> dict[str, np.ndarray]:
        """What the loop carried, without what changed settings have made useless; `progress` then says so.

        With another number of environments all begin new episodes. Latents that wait to be written back to the replay
        buffer are dropped if batches have another shape now.
        """
        arrays = checkpoint.read("loop")
        config = self._config
        moved = checkpoint.document["replay"]["num_envs"].value != config.env.envs
        batch = config.replay.batch, config.replay.length
        pending = [x.shape[:2] for name, x in arrays.items() if name.startswith("['pending'].latents")]
        if moved:
            progress["envs"] = None
        if moved or any(shape != batch for shape in pending):
            progress["pending"] = False
        keep = {"now": not moved, "unrecorded": not moved, "pending": progress["pending"]}
        dropped = [f"['{name}']" for name, kept in keep.items() if not kept]
        return {name: x for name, x in arrays.items() if not name.startswith(tuple(dropped))}

    def close(self) -> None:
        """Wait until everything that was saved is on disk, and let other processes train here."""
        self._store.close()
        self._lock.close()
        self._place.close()


def holds_checkpoint(path: Path) -> bool:
    """Whether a folder holds a run that can be resumed."""
    return bool(Store(path / "checkpoints").counts)


def _progress(document: Document, envs: int) -> dict[str, Json]:
    """The counters of a run, checked, for this number of environments."""
    episodes = document["episodes"]
    running = {name: [x.number() for x in episodes[name].elements()] for name in ("returns", "lengths")}
    if any(len(values) != envs for values in running.values()):
        running = {name: [0.0] * envs for name in running}
    return {
        "env_steps": document["env_steps"].integer(),
        "updates": document["updates"].integer(0, 2**31 - 1),
        "credit": document["credit"].number(),
        "episodes": {
            "count": episodes["count"].integer(),
            "recent": [x.number() for x in episodes["recent"].elements()],
            **running,
        },
        "pending": document["pending"].boolean(),
        "loop": document["loop"].text() if "loop" in document else "plain",
        "envs": document["envs"].value,
    }


def _version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _lock(path: Path, warn: Callable[[str], None] | None) -> BinaryIO:
    """Lock a run folder until the file is closed or the process ends, however it ends."""
    file = open_to_append(path)
    try:
        if fcntl is None:
            raise OSError("this system has none")
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.seek(0)
        holder = file.read(100).decode(errors="replace").strip() or "unknown"
        file.close()
        raise BusyError(
            f"Another process ({holder}) trains in '{path.parent}'; wait for it or choose another logdir."
        ) from error
    except OSError as error:
        sentence = (
            f"'{path.parent}' can't be locked ({error.strerror or error}); make sure that no other process trains "
            "there."
        )
        if warn is None:
            warnings.warn(sentence, GuaranteeWarning, stacklevel=3)
        else:
            warn(sentence)
    file.truncate(0)
    file.write(f"pid {os.getpid()}".encode())
    file.flush()
    return file
