"""Real moments of a run, to dream on from: short stretches of the replay in a checkpoint, read without the rest of it.

May import: `experience`, `replay`, `spaces`, `storage`.
"""

from typing import Any, NamedTuple

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay import Excerpt, SavedReplay, excerpt
from reverie.spaces import Spaces
from reverie.storage import Checkpoint, DamagedFileError, Document

BEFORE, AFTER = 16, 128  # records that are looked at before a dream begins, and that it can be compared with
LEAST = 8  # steps that should be known after a moment, where the episode has them
DRAWS = 20  # for each moment, to find one that isn't the last of its episode


class Moment(NamedTuple):
    """A stretch of what really happened."""

    records: Experience  # leaves (T, ...); none after the episode's last
    start: int  # the moment's index; the records before it are what was seen until then

    @property
    def known(self) -> int:
        """Steps of the same episode that are known to have followed."""
        return len(self.records.reward) - 1 - self.start


def draw_moments(checkpoint: Checkpoint, spaces: Spaces, count: int, seed: int) -> list[Moment]:
    """At most `count` moments of a checkpoint's replay, uniformly over it; none only if it holds none.

    Raises:
        DamagedFileError: the replay can't be read.
    """
    where = f"checkpoint {checkpoint.count} of {checkpoint.folder.parent}"
    rng = np.random.default_rng(seed)
    try:
        state = checkpoint.document["replay"]
        saved = SavedReplay.read(state)
        oldest, newest = saved.oldest, saved.received
        ends = np.cumsum(newest - oldest)
        if not ends[-1]:
            return []

        def draw() -> Moment:
            one = rng.integers(ends[-1])
            stream = int(np.searchsorted(ends, one, side="right"))
            return _read(checkpoint, state, stream, int(newest[stream] - ends[stream] + one))

        moments = [_first_with_a_future(draw) for _ in range(count)]
    except DamagedFileError:
        raise
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise DamagedFileError(f"The replay in {where} can't be read ({error}).") from error
    for moment in moments:
        _check(moment.records, spaces, where)
    return moments


def _read(checkpoint: Checkpoint, state: Document, stream: int, time: int) -> Moment:
    read = lambda part, stream, slots: checkpoint.read_slices(f"replay.{part}", (stream, slots))  # noqa: E731
    return _within_its_episode(excerpt(state, read, stream, time, before=BEFORE + LEAST, after=AFTER))


def _first_with_a_future(draw: Any) -> Moment:
    for _ in range(DRAWS):
        moment = draw()
        if moment.known:
            break
    return moment


def _within_its_episode(found: Excerpt) -> Moment:
    """The moment without what is not of its episode; earlier in it, if little is known to have followed."""
    records, at = found
    begins, ends = np.flatnonzero(records.is_first[: at + 1]), np.flatnonzero(records.is_last[at:])
    first = int(begins[-1]) if len(begins) else 0
    stop = at + int(ends[0]) + 1 if len(ends) else len(records.reward)
    start = max(first, min(at, stop - 1 - LEAST))
    first = max(first, start - BEFORE)
    return Moment(jax.tree.map(lambda leaf: leaf[first:stop], records), start - first)


def _check(records: Experience, spaces: Spaces, where: str) -> None:
    """Shapes and dtypes must be those that the networks take."""
    time = len(records.reward)
    for got, like in (
        (records.observation, spaces.zero_observation(time)),
        (records.action, spaces.zero_action(time)),
    ):
        for name, leaf in like.items():
            if name not in got or got[name].shape != leaf.shape or got[name].dtype != leaf.dtype:
                raise DamagedFileError(f"The replay in {where} has no {name!r} of {leaf.dtype} {leaf.shape[1:]}.")
