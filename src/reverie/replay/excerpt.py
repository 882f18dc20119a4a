"""Reads neighboring records of a saved replay buffer without the rest of it. May import: `experience` and this room."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from reverie.experience import Experience
from reverie.replay.layout import Leaves
from reverie.replay.saved import SavedReplay
from reverie.replay.streams import KINDS
from reverie.storage import Document, Json


class Excerpt(NamedTuple):
    """Neighboring records of one stream."""

    records: Experience  # leaves (T, ...)
    at: int  # the index of the requested record


def excerpt(
    state: Mapping[str, Json] | Document,
    read: Callable[[str, int, slice], Leaves],
    stream: int,
    time: int,
    *,
    before: int,
    after: int,
) -> Excerpt:
    """Read the record `time` of a stream with up to `before` and `after` neighbors, as far as its segment holds them.

    Args:
        state: `Replay.state()` of the saved buffer.
        read: returns the leaves (slots, ...) of one of its parts, for a stream and a slice of slots.
        stream: which stream.
        time: the record's id, `oldest` ≤ time < `count` of its stream.
        before: records before it, at most.
        after: records after it, at most.

    Raises:
        DamagedFileError: the state is damaged.
        ValueError: the buffer does not hold the record.
    """
    saved = SavedReplay.read(state)
    oldest, count = int(saved.oldest[stream]), int(saved.received[stream])
    if not oldest <= time < count:
        raise ValueError(f"Stream {stream} holds records {oldest} to {count - 1}, not {time}.")
    index, slot = divmod(time % saved.length, saved.segment)
    slots = min(saved.segment, saved.length - index * saved.segment)
    first = max(time - before, time - slot, oldest)
    stop = min(time + after + 1, time + slots - slot, count)
    inside = slice(slot + first - time, slot + stop - time)
    leaves = {name: x for kind in KINDS for name, x in read(f"{kind}.{index:06d}", stream, inside).items()}
    return Excerpt(as_experience(leaves), time - first)


def as_experience(leaves: Leaves) -> Experience:
    """The records whose leaves have these names, such as `observation.image` and `reward`.

    Raises:
        KeyError, TypeError: a name is missing or unknown.
    """
    fields: dict[str, Any] = {"observation": {}, "action": {}}
    for name, x in leaves.items():
        field, _, key = name.partition(".")
        if key:
            fields[field][key] = x
        else:
            fields[field] = x
    return Experience(**fields)
