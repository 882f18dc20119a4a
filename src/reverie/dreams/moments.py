"""Recorded moments to start dreams from: short excerpts of the replay buffer in a checkpoint.

May import: `experience`, `replay`, `spaces`, `storage`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from reverie.experience import Experience
from reverie.replay import Excerpt, SavedReplay, excerpt
from reverie.spaces import Spaces
from reverie.storage import Checkpoint, DamagedFileError, Document

BEFORE, AFTER = 16, 128  # records observed before a dream starts, and records to compare it with
LEAST = 8  # records that should follow a moment, if its episode has them
DRAWS = 20  # attempts per moment to find one that is not the last of its episode


class Moment(NamedTuple):
    """An excerpt of an episode."""

    records: Experience  # leaves (T, ...), of one episode
    start: int  # the moment's index; the records before it lead up to it

    @property
    def known(self) -> int:
        """How many recorded steps of the same episode follow."""
        return len(self.records.reward) - 1 - self.start


def draw_moments(checkpoint: Checkpoint, spaces: Spaces, count: int, seed: int) -> list[Moment]:
    """Draw `count` moments uniformly from a checkpoint's replay buffer; none if the buffer is empty.

    Raises:
        DamagedFileError: the replay buffer can't be read.
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
        raise DamagedFileError(f"The replay buffer in {where} can't be read ({error}).") from error
    for moment in moments:
        _check(moment.records, spaces, where)
    return moments


def _read(checkpoint: Checkpoint, state: Document, stream: int, time: int) -> Moment:
    def read(part: str, stream: int, slots: slice) -> dict[str, np.ndarray]:
        return checkpoint.read_slices(f"replay.{part}", (stream, slots))

    return _within_its_episode(excerpt(state, read, stream, time, before=BEFORE + LEAST, after=AFTER))


def _first_with_a_future(draw: Callable[[], Moment]) -> Moment:
    for _ in range(DRAWS):
        moment = draw()
        if moment.known:
            break
    return moment


def _within_its_episode(found: Excerpt) -> Moment:
    """The moment within its episode, moved back if few recorded steps follow."""
    records, at = found
    begins, ends = np.flatnonzero(records.is_first[: at + 1]), np.flatnonzero(records.is_last[at:])
    first = int(begins[-1]) if len(begins) else 0
    stop = at + int(ends[0]) + 1 if len(ends) else len(records.reward)
    start = max(first, min(at, stop - 1 - LEAST))
    first = max(first, start - BEFORE)
    return Moment(jax.tree.map(lambda leaf: leaf[first:stop], records), start - first)


def _check(records: Experience, spaces: Spaces, where: str) -> None:
    """Check that shapes and dtypes are what the networks take."""
    time = len(records.reward)
    for got, like in (
        (records.observation, spaces.zero_observation(time)),
        (records.action, spaces.zero_action(time)),
    ):
        for name, leaf in like.items():
            if name not in got or got[name].shape != leaf.shape or got[name].dtype != leaf.dtype:
                expected = f"{leaf.dtype} {leaf.shape[1:]}"
                raise DamagedFileError(f"The replay buffer in {where} has no {name!r} with {expected}.")
