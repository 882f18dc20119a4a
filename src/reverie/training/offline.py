"""Training on recorded episodes: before an environment is stepped, or without any.

May import: `datasets`, `replay`, `spaces`, and of this room `clock` and `learning`.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, ClassVar

import jax
import numpy as np

from reverie.config import Config
from reverie.datasets import Dataset, DatasetError, Episode, as_records
from reverie.experience import Experience
from reverie.replay import Replay
from reverie.spaces import Spaces
from reverie.training.learning import LearningLoop, Progress

REWARD_LOSSES = ("rew", "policy", "value", "repval")


class NoEnvironments:
    """What stands in the place of environments when there are none; see `BaseEnvironments`."""

    failures = 0

    def __init__(self, spaces: Spaces, streams: int) -> None:
        self.spaces, self.num_envs = spaces, streams
        self.tell: Callable[[str], object] = print

    def state(self) -> list[Any] | None:
        return None

    def restore(self, state: Sequence[Any], ended: np.ndarray) -> bool:
        return False

    def cancel(self) -> None:
        pass

    def close(self) -> None:
        pass


class OfflineLoop(LearningLoop[tuple[()]]):
    """The training loop on a replay buffer that does not grow. Each step is one update."""

    kind: ClassVar[str] = "offline"

    def begin(self) -> None:
        """Nothing has to be begun."""

    def step(self) -> Progress:
        """Do one update."""
        self._credit += 1
        updates, skipped = self._learn()
        self.env_steps += 1
        return Progress([], updates, skipped)

    def _first(self) -> tuple[()]:
        return ()


def fill(replay: Replay, dataset: Dataset, spaces: Spaces, config: Config) -> int:
    """Fill a new run's replay buffer with a dataset, and return how many episodes it has.

    Args:
        replay: to fill; if the dataset does not fit, its last episodes are kept.
        dataset: to read.
        spaces: of the run.
        config: of the run.

    Raises:
        DatasetError: an episode does not fit the spaces, has impossible values, or has no rewards although there are
            losses that need them; the message names it.
    """
    count, streams = 0, config.env.envs
    episodes = dataset.episodes(spaces)
    while chosen := list(islice(episodes, streams)):
        records = [_records(label, episode, spaces, config) for label, episode in chosen]
        lengths = np.array([len(one.reward) for one in records] + [0] * (streams - len(records)))
        replay.load(_padded(records, streams, int(lengths.max())), lengths)
        count += len(records)
    if not replay.ready():
        raise DatasetError(
            f"The dataset '{dataset.name}' is too small: none of {streams} streams holds a sequence of "
            f"{config.replay.length + 1} records. Record more, or choose fewer --envs or a shorter --replay.length."
        )
    return count


def _records(label: str, episode: Episode, spaces: Spaces, config: Config) -> Experience:
    if episode.rewards is None and (needed := [name for name in REWARD_LOSSES if getattr(config.loss, name)]):
        flags = " ".join(f"--loss.{name} 0" for name in needed)
        raise DatasetError(f"{label} has no rewards. To train the world model alone, add {flags}")
    try:
        return as_records(episode, spaces, deter=config.model.deter, groups=config.model.groups)
    except ValueError as error:
        raise DatasetError(f"{label} can't be trained on: {error}.") from error


def _padded(records: list[Experience], streams: int, time: int) -> Experience:
    """Recordings of different lengths as one, leaves (streams, time, …), with zeros at their ends."""

    def stack(*rows: np.ndarray) -> np.ndarray:
        stacked = np.zeros((streams, time, *rows[0].shape[1:]), rows[0].dtype)
        for into, row in zip(stacked, rows, strict=False):
            into[: len(row)] = row
        return stacked

    return jax.tree.map(stack, *records)
