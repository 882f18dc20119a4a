"""Excerpts of a saved replay buffer: the right records, reading no more than needed."""

import numpy as np
import pytest

from reverie.experience import Experience
from reverie.replay import Replay, excerpt

ENVS = 2


def record(time: int) -> Experience:
    """A record that holds its time and its environment."""
    flag = np.zeros(ENVS, bool)
    return Experience(
        observation={"when/where": np.stack([[time, env] for env in range(ENVS)]).astype(np.float32)},
        action={"a.b": np.full((ENVS, 1), time, np.float32)},
        reward=np.full(ENVS, time, np.float32),
        is_first=flag,
        is_last=flag,
        is_terminal=flag,
        deter=np.zeros((ENVS, 3), np.float32),
        stoch=np.zeros((ENVS, 2), np.uint8),
    )


def saved(records: int, slow: int | None = None) -> tuple[dict, dict]:
    """`slow`: the number of records of the second stream."""
    template = Experience(*(_first(leaf) for leaf in record(0)))
    replay = Replay(template, capacity=2 * 14, num_envs=ENVS, sequence=4, segment=5)
    for time in range(records):
        replay.add(record(time), np.array([True, slow is None or time < slow]))
    return replay.state(), {name: copy() for name, (_, copy) in replay.parts().items()}


def _first(leaf):
    return {key: x[0] for key, x in leaf.items()} if isinstance(leaf, dict) else leaf[0]


@pytest.mark.parametrize(("records", "slow"), [(1, None), (4, None), (13, None), (14, None), (31, None), (20, 3)])
def test_each_record_is_found_with_its_neighbours_in_the_segment(records, slow):
    state, parts = saved(records, slow)
    asked = []

    def read(part, stream, slots):
        asked.append(slots)
        return {name: x[stream, slots] for name, x in parts[part].items()}

    for stream, oldest in enumerate(state["oldest"]):
        stop = state["count"][stream]
        assert stop == (slow if slow and stream else records)
        for time in range(oldest, stop):
            found = excerpt(state, read, stream, time, before=3, after=2)
            when = found.records.observation["when/where"]
            assert when[found.at].tolist() == [time, stream]
            assert found.records.action["a.b"][found.at] == time
            assert np.all(np.diff(when[:, 0]) == 1)
            assert when[0, 0] >= max(oldest, time - 3)
            assert when[-1, 0] <= min(stop - 1, time + 2)
            assert set(when[:, 1]) == {stream}
    assert all(slots.stop - slots.start <= 6 for slots in asked)


def test_an_overwritten_record_is_an_error():
    state, parts = saved(31)
    with pytest.raises(ValueError, match="holds records 17 to 30, not 16"):
        excerpt(state, lambda part, stream, slots: parts[part], 0, 16, before=1, after=1)
