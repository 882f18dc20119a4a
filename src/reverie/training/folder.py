"""A run's folder: what it is a run of, and its checkpoints. May import: `agent` and below, `replay`, `storage`.

agent.json           format, spaces, config and the environment's name
config.yaml          the config again, to start another run with: reverie train ENV --config config.yaml
checkpoints/         see `reverie.storage.store`; counted by environment steps plus updates, which grows with either
    networks, learner    all that an update changes
    loop                 what the loop carries from step to step
    replay.…             the experience, in pieces of which only changed ones are written
metrics.jsonl, tensorboard/
.lock                held by the process that trains here
"""

import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, NamedTuple

from reverie.agent import Agent, read_description
from reverie.config import differences
from reverie.errors import InputError
from reverie.experience import Experience
from reverie.learner import LearnerState
from reverie.replay import Replay
from reverie.storage import (
    Checkpoint,
    DamagedFileError,
    Part,
    Store,
    as_tree,
    copied,
    read_newest,
    write_arrays,
    write_text,
)

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; there, two runs in one folder go unnoticed
    fcntl = None  # type: ignore[assignment]

# What a continued run may have different.
CHANGEABLE = ("run.", "env.mode", "env.restarts", "env.timeout", "replay.home", "replay.memory", "replay.capacity")


class Restored(NamedTuple):
    """What a checkpoint held, besides the replay, which has been filled."""

    state: LearnerState
    progress: dict[str, Any]  # in JSON's types
    loop: dict[str, Any]  # arrays by name


class RunFolder:
    """Opens or starts a run's folder. `env` is the environment's name, or None if it has none.

    Raises:
        InputError: the folder holds a run of another environment or configuration, or something else, or another
            process trains in it. It is left as it is.
    """

    def __init__(self, path: Path, agent: Agent, env: str | None, keep: int):
        self.path = path.absolute()
        file = self.path / "agent.json"
        if file.exists():
            self._check_same(file, agent, env)
        elif self.path.exists() and any(not found.name.startswith(".") for found in self.path.iterdir()):
            raise InputError(f"{path} is not empty and holds no run of Reverie; choose another logdir.")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.path / ".lock")
        try:
            write_text(file, json.dumps({**agent.description(), "env": env}, indent=2))
            write_text(self.path / "config.yaml", agent.config.to_yaml())
        except BaseException:
            self._lock.close()
            raise
        self._store = Store(self.path / "checkpoints", keep)

    def _check_same(self, file: Path, agent: Agent, env: str | None) -> None:
        spaces, config, name = read_description(file)
        changed = {
            setting: f"{theirs} → {ours}"
            for setting, (ours, theirs) in differences(agent.config, config, ignore=CHANGEABLE).items()
        }
        if name != env:
            changed["env"] = f"{name} → {env}"
        if not spaces.fits(agent.spaces) and "env" not in changed:
            changed["the environment's spaces"] = "changed"
        if changed:
            listed = "; ".join(f"{setting}: {change}" for setting, change in changed.items())
            raise InputError(
                f"{self.path} holds a run with other settings ({listed}). Choose another logdir, "
                "or give the same settings to continue that run."
            )

    @property
    def newest(self) -> int | None:
        """The count of the newest checkpoint, if there is one."""
        return next(iter(self._store.counts), None)

    def problem(self) -> str | None:
        """What kept the last save from being finished; told once."""
        return self._store.problem()

    def save(
        self,
        state: LearnerState,
        replay: Replay,
        loop: Mapping[str, Any],
        progress: Mapping[str, Any],
        *,
        wait: bool = False,
    ) -> None:
        """Copy all that belongs to this moment and write it in the background.

        Not if the newest checkpoint is of the same moment or, without `wait`, if the save before is not finished.
        """
        if wait:
            self._store.wait()
        count = progress["env_steps"] + progress["updates"]
        if self.newest == count:
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

    def keep_batch(self, batch: Experience) -> str:
        """Write a batch for a person to look at, in place of the one before; says where it is, or why it isn't."""
        path = self.path / "skipped_batch.safetensors"
        try:
            write_arrays(path, copied(batch))
        except OSError as error:
            return f"could not be written ({error})"
        return f"is in {path}"

    def restore(self, state: LearnerState, replay: Replay, warn: Callable[[str], None]) -> Restored | None:
        """The newest checkpoint that can be read, or None if there is none; fills the replay.

        Args:
            state: a fresh one, for its structure.
            replay: an empty one.
            warn: hears of checkpoints that are damaged; these are set aside.

        Raises:
            InputError: there are checkpoints, but none can be read.
        """

        def damaged(count: int, problem: str) -> None:
            warn(f"{problem} Going on from the checkpoint before it.")
            bad.append(count)

        bad: list[int] = []
        restored = read_newest(self._store, partial(self._read, state, replay), damaged)
        if restored is None and bad:
            raise InputError(f"No checkpoint of {self.path} can be read; restore one from a copy, or start elsewhere.")
        for count in bad:
            self._store.set_aside(count)
        return restored

    def _read(self, state: LearnerState, replay: Replay, checkpoint: Checkpoint) -> Restored:
        where = f"checkpoint {checkpoint.count} of {self.path}"
        networks = as_tree(state.networks, checkpoint.read("networks"), where)
        rest = as_tree(tuple(state[1:]), checkpoint.read("learner"), where)
        loop = checkpoint.read("loop")
        try:
            same = replay.restore(checkpoint.meta["replay"], lambda name: checkpoint.read(f"replay.{name}"))
            progress = dict(checkpoint.meta["progress"])
        except DamagedFileError:
            raise
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedFileError(f"The replay in {where} can't be read ({error}).") from error
        if same:
            versions = {f"replay.{name}": version for name, (version, _) in replay.parts().items()}
            self._store.remember(checkpoint, versions)
        return Restored(LearnerState(networks, *rest), progress, loop)

    def close(self) -> None:
        """Wait until what was saved is on disk, and let others in."""
        self._store.close()
        self._lock.close()


def holds_checkpoint(path: Path) -> bool:
    """Whether there is a run in this folder that could be continued."""
    return bool(Store(path / "checkpoints").counts)


def _version(package: str) -> str | None:
    """Of an installed package; None for one that runs from its sources."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _lock(path: Path) -> IO[str]:
    """Held until it is closed or the process ends, however it ends."""
    file = path.open("a+", encoding="utf-8")
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise InputError(
                f"Another process ({holder}) trains in {path.parent}; wait for it or choose another logdir."
            ) from error
    file.truncate(0)
    file.write(f"pid {os.getpid()}")
    file.flush()
    return file
