"""A stretch of a saved replay, without reading the rest of it. May import: the rest of this room."""

from collections.abc import Callable
from typing import Any, NamedTuple

from reverie.experience import Experience
from reverie.replay.layout import Leaves
from reverie.replay.streams import KINDS, saved_counters


class Excerpt(NamedTuple):
    """Neighbouring records of one stream."""

    records: Experience  # leaves (T, ...)
    at: int  # the record that was asked for is the one with this index


def excerpt(
    state: dict[str, Any],
    read: Callable[[str, int, slice], Leaves],
    stream: int,
    time: int,
    *,
    before: int,
    after: int,
) -> Excerpt:
    """The record `time` of a stream with those `before` and `after` it, as far as they are held in the same segment.

    Args:
        state: `Replay.state()` of the saved replay.
        read: gives for one of its parts, a stream and slots the leaves (slots, ...).
        time: the record's id, `oldest` ≤ time < `count` of its stream.
    """
    length, segment = int(state["length"]), int(state["segment"])
    oldest, count = (int(counter[stream]) for counter in saved_counters(state))
    if not oldest <= time < count:
        raise ValueError(f"Stream {stream} holds records {oldest} to {count - 1}, not {time}.")
    index, slot = divmod(time % length, segment)
    slots = min(segment, length - index * segment)
    first = max(time - before, time - slot, oldest)
    stop = min(time + after + 1, time + slots - slot, count)
    inside = slice(slot + first - time, slot + stop - time)
    leaves = {name: x for kind in KINDS for name, x in read(f"{kind}.{index:06d}", stream, inside).items()}
    return Excerpt(_experience(leaves), time - first)


def _experience(leaves: Leaves) -> Experience:
    """From leaves by name, such as `observation.image` and `reward`."""
    fields: dict[str, Any] = {"observation": {}, "action": {}}
    for name, x in leaves.items():
        field, _, key = name.partition(".")
        if key:
            fields[field][key] = x
        else:
            fields[field] = x
    return Experience(**fields)
