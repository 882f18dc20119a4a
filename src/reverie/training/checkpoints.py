"""A run's folder: what it is a run of, and its checkpoints through Orbax. May import: `agent` and below.

agent.json           format, spaces, config and the environment's name
checkpoints/COUNT/   networks, the learner's other state, replay and counters, consistent with each other; COUNT is
                     environment steps plus updates, so that it grows with either
metrics.jsonl, tensorboard/
.lock                held by the process that trains here
"""

import json
import logging
import os
from pathlib import Path
from typing import IO, Any

import jax
import orbax.checkpoint as ocp

from reverie.agent import Agent, leaves_by_name, read_description, write_atomically
from reverie.config import differences
from reverie.errors import InputError
from reverie.learner import LearnerState

try:
    import fcntl
except ImportError:  # Windows has no advisory locks; there, two runs in one folder go unnoticed
    fcntl = None  # type: ignore[assignment]

CHANGEABLE = ("run.", "env.processes")  # what a continued run may have different
ITEMS = ("networks", "learner", "replay", "progress")

logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax tells of every file it writes


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
        elif self.path.exists() and any(self.path.iterdir()):
            raise InputError(f"{path} is not empty and holds no run of Reverie; choose another logdir.")
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(self.path / ".lock")
        write_atomically(file, json.dumps({**agent.description(), "env": env}, indent=2))
        options = ocp.CheckpointManagerOptions(max_to_keep=keep)
        self._manager = ocp.CheckpointManager(self.path / "checkpoints", options=options, item_names=ITEMS)

    def _check_same(self, file: Path, agent: Agent, env: str | None) -> None:
        spaces, config, name = read_description(file)
        changed = {
            setting: f"{theirs} → {ours}"
            for setting, (ours, theirs) in differences(agent.config, config, ignore=CHANGEABLE).items()
        }
        if name != env:
            changed["env"] = f"{name} → {env}"
        if spaces != agent.spaces and "env" not in changed:
            changed["the environment's spaces"] = "changed"
        if changed:
            listed = "; ".join(f"{setting}: {change}" for setting, change in changed.items())
            raise InputError(
                f"{self.path} holds a run with other settings ({listed}). Choose another logdir, "
                "or give the same settings to continue that run."
            )

    @property
    def newest(self) -> int | None:
        """COUNT of the newest checkpoint, if there is one."""
        return self._manager.latest_step()

    def save(self, state: LearnerState, replay: dict[str, Any], progress: dict[str, Any]) -> None:
        """Copy the state and write it in the background; not if the newest checkpoint is of the same moment."""
        count = progress["env_steps"] + progress["updates"]
        if self.newest == count:
            return
        self._manager.save(
            count,
            args=ocp.args.Composite(
                networks=ocp.args.StandardSave(leaves_by_name(state.networks)),
                learner=ocp.args.StandardSave(leaves_by_name(state[1:])),
                replay=ocp.args.StandardSave(replay),
                progress=ocp.args.JsonSave(progress),
            ),
        )

    def restore(self, state: LearnerState) -> tuple[LearnerState, dict[str, Any], dict[str, Any]]:
        """The newest checkpoint: learner state (in the place of the fresh `state`), replay and progress."""
        networks, rest = leaves_by_name(state.networks), leaves_by_name(state[1:])
        try:
            restored = self._manager.restore(
                self.newest,
                args=ocp.args.Composite(
                    networks=ocp.args.StandardRestore(networks),
                    learner=ocp.args.StandardRestore(rest),
                    replay=ocp.args.StandardRestore(),
                    progress=ocp.args.JsonRestore(),
                ),
            )
        except Exception as error:  # Orbax has no error of its own for this
            damaged = self.path / "checkpoints" / str(self.newest)
            raise InputError(
                f"{damaged} can't be read ({type(error).__name__}). Move it away to continue from the one before."
            ) from error
        state = jax.tree.unflatten(
            jax.tree.structure(state),
            [*(restored.networks[name] for name in networks), *(restored.learner[name] for name in rest)],
        )
        return state, restored.replay, restored.progress

    def close(self) -> None:
        """Wait until what was saved is on disk, and let others in."""
        self._manager.wait_until_finished()
        self._manager.close()
        self._lock.close()


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
