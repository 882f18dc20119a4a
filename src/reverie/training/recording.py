"""Datasets from agents: the episodes that one plays, and those in a run's replay buffer.

May import: `agent`, `datasets`, `envs`, `experience`, `replay`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from reverie.agent import read_description
from reverie.datasets import Episode, Writer, as_episode, create_dataset
from reverie.envs import AnyEnvironments
from reverie.experience import Step
from reverie.replay import read_run, split_episodes


@contextmanager
def recording(environments: AnyEnvironments, name: str | Path | None, env: str | None) -> "Iterator[Recorder | None]":
    """A recorder for these environments; its dataset is completed at the end, also after an error or Ctrl-C.

    Without any episode there is nothing to complete, and the name stays free.

    Args:
        environments: that are played in.
        name: of the new dataset; None records nothing.
        env: the environments' name, for the dataset's description.

    Raises:
        DatasetError: the dataset exists.
    """
    if name is None:
        yield None
        return
    recorder = Recorder(environments, create_dataset(name, environments.spaces, env))
    try:
        yield recorder
    finally:
        if recorder.episodes:
            recorder.writer.close()


class Recorder:
    """Collects the steps of each environment, and writes them as an episode when it ends.

    Attributes:
        writer: of the dataset.
        episodes: written so far.
    """

    def __init__(self, environments: AnyEnvironments, writer: Writer) -> None:
        self.writer, self.episodes, self._spaces = writer, 0, environments.spaces
        self._rows: list[list[tuple[Any, ...]]] = [[] for _ in range(environments.num_envs)]

    def take(self, step: Step, action: Mapping[str, np.ndarray], ready: np.ndarray) -> None:
        """Note what the environments that are `ready`, (N,) bool, showed, and the action chosen there."""
        for index in np.flatnonzero(ready).tolist():
            if step.is_first[index]:
                self._rows[index] = []
            self._rows[index].append(_row(index, (step.observation, action, step.reward)))

    def end(self, step: Step, index: int) -> None:
        """Write the episode of environment `index`, whose last observation is in `step`."""
        last, _, reward = _row(index, (step.observation, {}, step.reward))
        observations, actions, rewards = zip(*self._rows[index], strict=True)
        stacked: Any = jax.tree.map(lambda *rows: np.stack(rows), *observations, last)
        self.writer.add(
            Episode(
                self._spaces.decode_observation(stacked),
                self._spaces.decode_action(jax.tree.map(lambda *rows: np.stack(rows), *actions)),
                np.array([*rewards[1:], reward], np.float32),  # a reward belongs to the action before it
                bool(step.is_terminal[index]),
                not step.is_terminal[index],  # also where the player stopped
            )
        )
        self.episodes += 1


def export_replay(run: str | Path, name: str | Path) -> int:
    """Write the episodes in the newest checkpoint's replay buffer to a new dataset, and return how many.

    The oldest episodes may lack their beginning; the newest ones, still running when the checkpoint was written, are
    neither terminated nor truncated. Actions are those that were executed: within the bounds of the action space.

    Args:
        run: the run's folder.
        name: of the dataset.

    Raises:
        InputError: there is no run, or it has no checkpoint that can be read.
        DatasetError: the dataset exists.
    """
    spaces, _, env = read_description(Path(run) / "agent.json")
    recordings = read_run(run)
    writer, count = create_dataset(name, spaces, env), 0
    try:
        for recording in recordings:
            for episode in split_episodes(recording):
                if len(episode.reward) > 1:  # one that has just begun has no step yet
                    writer.add(as_episode(episode, spaces))
                    count += 1
    finally:
        if count:
            writer.close()
    return count


def _row(index: int, trees: Any) -> Any:
    return jax.tree.map(lambda x: np.array(x[index]), trees)
