"""What all readers and writers of datasets have in common. May import: `errors`, `spaces`; Gymnasium."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from reverie.datasets.episode import Episode
from reverie.errors import InputError
from reverie.spaces import Spaces


class DatasetError(InputError):
    """A dataset that can't be read or written; the message names the dataset and the episode."""


@runtime_checkable
class Dataset(Protocol):
    """Recorded episodes.

    Attributes:
        name: names the dataset in messages.
        spaces: the spaces of the recorded values; None if the dataset does not say.
        env: the name of the recorded environment; None if the dataset does not say.
    """

    name: str
    spaces: Spaces | None
    env: str | None

    def __len__(self) -> int:
        """The number of episodes."""

    def episodes(self, spaces: Spaces) -> Iterator[tuple[str, Episode]]:
        """Read the episodes one by one, each with what names it in messages.

        Args:
            spaces: give the values their structure.

        Raises:
            DatasetError: an episode can't be read; the message names it.
        """


@runtime_checkable
class Writer(Protocol):
    """Writes episodes to a new dataset, which is complete once the writer has been closed."""

    def add(self, episode: Episode) -> None:
        """Write an episode."""

    def close(self) -> None:
        """Complete the dataset."""
