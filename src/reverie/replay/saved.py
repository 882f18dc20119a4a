"""The state of a saved replay buffer, checked. May import: `storage`."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from reverie.storage import Document, Json

MOST_RECORDS = 2**53
MOST_STREAMS = 2**20
MOST_SEGMENTS = 2**20
LARGEST_SEGMENT = 2**28  # slots, over all streams
_WORDS = 10  # of a saved generator


class SavedReplay(NamedTuple):
    """What `Replay.state` saved."""

    length: int  # slots of each stream
    segment: int  # slots of each part
    oldest: np.ndarray  # (N,) int64
    received: np.ndarray  # (N,) int64, how many records each stream has seen
    generator: list[int]
    online: np.ndarray | None  # (N,) int64, the next context records of the online queue

    @classmethod
    def read(cls, state: "Mapping[str, Json] | Document") -> "SavedReplay":
        """Check a state; a DamagedFileError names the value that can't be right."""
        document = state if isinstance(state, Document) else Document(dict(state), "the saved replay buffer")
        streams = document["num_envs"].integer(1, MOST_STREAMS)
        length = document["length"].integer(1, MOST_RECORDS)
        segment = document["segment"].integer(1, max(1, LARGEST_SEGMENT // streams))
        online = document["online"]
        saved = cls(
            length,
            segment,
            _counters(document["oldest"], streams),
            _counters(document["count"], streams),
            [word.integer(0, 2**32 - 1) for word in document["generator"].elements(_WORDS)],
            None if online.value is None else _counters(online, streams),
        )
        held = saved.received - saved.oldest
        if np.any((held < 0) | (held > length)) or min(int(saved.received.max()), length) > segment * MOST_SEGMENTS:
            document.fail(
                f"has impossible counters: {length=}, {segment=}, oldest={_some(saved.oldest)}, "
                f"count={_some(saved.received)}"
            )
        return saved

    @property
    def streams(self) -> int:
        """N, the number of streams."""
        return len(self.received)

    def segments(self) -> range:
        """The first slots of all segments that were ever written."""
        return range(0, min(int(self.received.max()), self.length), self.segment)

    def ids(self, begin: int) -> np.ndarray:
        """The ids of the records in the segment whose first slot is `begin`, (N, slots); see `held`."""
        slots = begin + np.arange(min(self.segment, min(int(self.received.max()), self.length) - begin))
        last = self.received[:, None] - 1
        return last - (last - slots) % self.length  # the newest record with this slot

    def held(self, ids: np.ndarray) -> np.ndarray:
        """Which of these ids, (N, slots), are those of records that the buffer held."""
        return (ids >= self.oldest[:, None]) & (ids < self.received[:, None])


def _counters(document: Document, streams: int) -> np.ndarray:
    """(N,) int64; earlier versions wrote one number for all streams."""
    if isinstance(document.value, int):
        return np.full(streams, document.integer(0, MOST_RECORDS), np.int64)
    return np.array([counter.integer(0, MOST_RECORDS) for counter in document.elements(streams)], np.int64)


def _some(counters: np.ndarray) -> Any:
    return counters.tolist() if len(counters) <= 8 else f"{counters[:8].tolist()} and more"
