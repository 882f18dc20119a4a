"""Minari's datasets, named "minari:NAMESPACE/NAME-v0". Needs the extra 'minari'.

May import: `dataset`, `episode` of this room; `spaces`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from reverie.datasets.dataset import DatasetError
from reverie.datasets.episode import Episode
from reverie.spaces import Spaces

PREFIX = "minari:"


class MinariDataset:
    """A dataset in Minari's folder on this machine; see `Dataset` for the interface."""

    def __init__(self, name: str) -> None:
        minari = _minari()
        try:
            self._dataset = minari.load_dataset(name)
        except (FileNotFoundError, ValueError) as error:
            raise DatasetError(
                f"Minari can't load {name!r} ({error}). `minari list local` shows the datasets on this machine, and "
                f"`minari download {name}` gets one."
            ) from error
        self.name = f"{PREFIX}{name}"
        self.spaces: Spaces | None = Spaces(self._dataset.observation_space, self._dataset.action_space)
        spec = self._dataset.env_spec
        self.env: str | None = None if spec is None else spec.id

    def __len__(self) -> int:
        return int(self._dataset.total_episodes)

    def episodes(self, spaces: Spaces) -> Iterator[tuple[str, Episode]]:
        for one in self._dataset.iterate_episodes():
            label = f"episode {one.id} of '{self.name}'"
            if len(one.rewards) == 0:
                raise DatasetError(f"{label} has no step.")
            observations, actions = (jax.tree.map(np.asarray, x) for x in (one.observations, one.actions))
            yield label, Episode(
                observations, actions, np.asarray(one.rewards), bool(one.terminations[-1]), bool(one.truncations[-1])
            )


class MinariWriter:
    """Collects episodes, and creates a dataset in Minari's folder when closed.

    Raises:
        DatasetError: there is a dataset of this name already, or Minari does not accept the name.
    """

    def __init__(self, name: str, spaces: Spaces, env: str | None) -> None:
        minari = _minari()
        from minari.dataset.minari_dataset import parse_dataset_id

        try:
            parse_dataset_id(name)
        except ValueError as error:
            raise DatasetError(f"{name!r} can't name a Minari dataset ({error}): use NAMESPACE/NAME-v0.") from error
        if name in minari.list_local_datasets():
            raise DatasetError(f"Minari already has {name!r}: choose another name, or run `minari delete {name}`.")
        self._name, self._spaces, self._env = name, spaces, env
        self._episodes: list[Any] = []

    def add(self, episode: Episode) -> None:
        from minari.data_collector import EpisodeBuffer

        count = len(jax.tree.leaves(episode.actions)[0])
        last = np.arange(count) == count - 1
        self._episodes.append(
            EpisodeBuffer(
                id=len(self._episodes),
                observations=episode.observations,
                actions=episode.actions,
                rewards=list(np.zeros(count) if episode.rewards is None else episode.rewards),
                terminations=list(last & episode.terminated),
                # Minari knows no episode that just stops: its recording was cut off.
                truncations=list(last & (not episode.terminated)),
            )
        )

    def close(self) -> None:
        _minari().create_dataset_from_buffers(
            self._name,
            self._episodes,
            env=self._env if _is_registered(self._env) else None,
            observation_space=self._spaces.observation_space,
            action_space=self._spaces.action_space,
            algorithm_name="DreamerV3 (Reverie)",
            description=f"Recorded by Reverie in {self._env or 'an environment without a name'}.",
        )


def _is_registered(env: str | None) -> bool:
    import gymnasium as gym

    return env in gym.registry


def _minari() -> Any:
    try:
        import minari
    except ImportError as error:
        raise DatasetError("Minari is not installed; run `pip install 'reverie[minari]'`.") from error
    return minari
