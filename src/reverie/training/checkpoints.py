"""A run's folder: what it is a run of, and its checkpoints through Orbax. May import: `agent`, `config`.

agent.json          format, spaces, config and the environment's name; written once
checkpoints/UPDATES/ networks, the learner's other state, replay and counters, consistent with each other
metrics.jsonl, tensorboard/
"""

import json
import logging
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from reverie.agent import Agent, leaves_by_name, read_description
from reverie.config import differences
from reverie.learner import LearnerState

CHANGEABLE = ("run.", "env.processes")  # what a continued run may have different
ITEMS = ("networks", "learner", "replay", "progress")

logging.getLogger("absl").setLevel(logging.ERROR)  # Orbax tells of every file it writes


class RunFolder:
    """Opens or starts a run's folder.

    Raises:
        ValueError: the folder holds a run of another environment or configuration, or something else.
    """

    def __init__(self, path: Path, agent: Agent, env: str, keep: int):
        self.path = path.absolute()
        description = {**agent.description(), "env": env}
        file = self.path / "agent.json"
        if file.exists():
            self._check_same(json.loads(file.read_text()), agent, env)
        elif self.path.exists() and any(self.path.iterdir()):
            raise ValueError(f"{path} is not empty and holds no run of Reverie; choose another logdir.")
        self.path.mkdir(parents=True, exist_ok=True)
        _write_atomically(file, json.dumps(description, indent=2))
        options = ocp.CheckpointManagerOptions(max_to_keep=keep)
        self._manager = ocp.CheckpointManager(self.path / "checkpoints", options=options, item_names=ITEMS)

    def _check_same(self, saved: Any, agent: Agent, env: str) -> None:
        spaces, config = read_description(saved, str(self.path / "agent.json"))
        changed = {
            name: f"{theirs} → {ours}"
            for name, (ours, theirs) in differences(agent.config, config, ignore=CHANGEABLE).items()
        }
        if saved.get("env") != env:
            changed["env"] = f"{saved.get('env')} → {env}"
        if spaces != agent.spaces and "env" not in changed:
            changed["the environment's spaces"] = "changed"
        if changed:
            listed = "; ".join(f"{name}: {change}" for name, change in changed.items())
            raise ValueError(
                f"{self.path} holds a run with other settings ({listed}). Choose another logdir, "
                "or give the same settings to continue that run."
            )

    @property
    def newest(self) -> int | None:
        """Updates of the newest finished checkpoint, if there is one."""
        return self._manager.latest_step()

    def save(self, state: LearnerState, replay: dict[str, Any], progress: dict[str, Any]) -> None:
        """Copy the state and write it in the background. A checkpoint of the same update is not written again."""
        if self.newest == progress["updates"]:
            return
        rest = leaves_by_name(state[1:])
        self._manager.save(
            progress["updates"],
            args=ocp.args.Composite(
                networks=ocp.args.StandardSave(leaves_by_name(state.networks)),
                learner=ocp.args.StandardSave(rest),
                replay=ocp.args.StandardSave(replay),
                progress=ocp.args.JsonSave(progress),
            ),
        )

    def restore(self, state: LearnerState) -> tuple[LearnerState, dict[str, Any], dict[str, Any]]:
        """The newest checkpoint: learner state (in the place of the fresh `state`), replay and progress."""
        networks, rest = leaves_by_name(state.networks), leaves_by_name(state[1:])
        restored = self._manager.restore(
            self.newest,
            args=ocp.args.Composite(
                networks=ocp.args.StandardRestore(networks),
                learner=ocp.args.StandardRestore(rest),
                replay=ocp.args.StandardRestore(),
                progress=ocp.args.JsonRestore(),
            ),
        )
        state = jax.tree.unflatten(
            jax.tree.structure(state),
            [*(restored.networks[name] for name in networks), *(restored.learner[name] for name in rest)],
        )
        return state, restored.replay, restored.progress

    def close(self) -> None:
        """Wait until what was saved is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


def _write_atomically(path: Path, text: str) -> None:
    replacement = path.with_suffix(".tmp")
    replacement.write_text(text, encoding="utf-8")
    replacement.replace(path)
