"""Vectorized environments: every observation exactly once, in order, with the right flags."""

import itertools
import sys
import time
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from reverie.envs import BrokenEnvironmentError, Environments
from reverie.spaces import Spaces, UnsupportedSpaceError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # worker processes cannot import this file


class Counting(gym.Env[Any, Any]):
    """Observes (episode, time), rewards 10 · episode + time; episodes alternately terminate and truncate."""

    observation_space = spaces.Box(0, 99, (2,), np.float64)
    action_space = spaces.Discrete(4, start=5)

    def __init__(self, length: int = 3) -> None:
        self.length, self.episode = length, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return np.array([self.episode, 0.0]), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.time += 1
        assert self.time <= self.length, "stepped beyond the end"
        end, terminates = self.time == self.length, self.episode % 2 == 1
        reward = 10 * self.episode + self.time
        return np.array([self.episode, self.time]), reward, end and terminates, end and not terminates, {}


class Lengths:
    """A factory of environments whose episodes have different lengths, in any process."""

    def __init__(self, lengths: list[int]) -> None:
        self.lengths = lengths

    def __call__(self) -> gym.Env[Any, Any]:
        return BySeed(self.lengths)


class BySeed(Counting):
    """Derives its length from its index, which the seed reveals: seeds count up from environment 0."""

    def __init__(self, lengths: list[int]) -> None:
        super().__init__()
        self.lengths = lengths

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            first = int(np.random.SeedSequence(0).generate_state(1)[0]) % 2**30
            self.length = self.lengths[seed - first]
        return super().reset(seed=seed)


def expected(length: int, steps: int) -> list[tuple[Any, ...]]:
    """(episode, time, reward, is_first, is_last, is_terminal) of every record."""
    records = []
    for episode in range(1, steps + 2):
        for at in range(length + 1):
            last = at == length
            reward = 10 * episode + at if at else 0
            records.append((episode, at, reward, at == 0, last, last and episode % 2 == 1))
    return records[: steps + 1]


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("lengths", [[3], [1, 2, 5]])
def test_every_observation_once_in_order(lengths: list[int], processes: bool) -> None:
    steps, n = 17, len(lengths)
    with Environments(Lengths(lengths), n, mode="parallel" if processes else "serial") as envs:
        action = envs.spaces.zero_action(n)
        # Collected first and read later: later steps must not change what was returned.
        shown = [envs.reset()] + [envs.step(action) for _ in range(steps)]
    for i, length in enumerate(lengths):
        seen = [
            (
                *step.observation["vector"][i],
                step.reward[i],
                step.is_first[i],
                step.is_last[i],
                step.is_terminal[i],
            )
            for step in shown
        ]
        assert seen == expected(length, steps)
    for step in shown:
        assert step.observation["vector"].dtype == step.reward.dtype == np.float32
        assert step.is_first.dtype == step.is_last.dtype == step.is_terminal.dtype == bool


class Uneven(Counting):
    """The second of a pair, recognized by its seed, is slow."""

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.pause = 0.05 * (seed - int(np.random.SeedSequence(0).generate_state(1)[0]) % 2**30)
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        time.sleep(self.pause)
        return super().step(action)


def test_asynchronous_environments_do_not_wait_for_each_other() -> None:
    streams: list[list[tuple[Any, ...]]] = [[], []]
    with Environments(Uneven, 2, mode="async") as envs:
        action = envs.spaces.zero_action(2)
        shown = [(envs.reset(), envs.ready)]
        while len(streams[1]) < 9 and len(shown) < 10_000:
            step, ready = shown[-1]
            for i in np.flatnonzero(ready):
                streams[i].append((*step.observation["vector"][i], step.reward[i], *(flag[i] for flag in step[2:])))
            shown.append((envs.step(action), envs.ready))
    for stream in streams:
        assert stream == expected(3, len(stream) - 1)
    assert len(streams[0]) > 3 * len(streams[1])
    for (step, _), (following, ready) in itertools.pairwise(shown):  # rows that are not ready do not change
        for one, other in zip(step[1:], following[1:], strict=True):
            np.testing.assert_array_equal(one[~ready], other[~ready])


def test_both_terminated_and_truncated_is_terminal() -> None:
    class Both(Counting):
        def step(self, action: Any) -> Any:
            observation, reward, *_ = super().step(action)
            return observation, reward, True, True, {}

    envs = Environments(Both)
    envs.reset()
    step = envs.step({"action": np.array([0])})
    assert step.is_last.all()
    assert step.is_terminal.all()


def test_reset_in_the_middle_starts_an_episode() -> None:
    envs = Environments(lambda: Counting(1))  # an object would be reset once more, to look at its info
    envs.reset()
    assert envs.step({"action": np.array([0])}).is_last.all()
    again = envs.reset()
    assert again.is_first.all()
    assert again.reward.tolist() == [0]
    step = envs.step({"action": np.array([0])})
    assert not step.is_first.any()
    assert step.observation["vector"].tolist() == [[2, 1]]


def test_nested_spaces_reach_the_environment() -> None:
    received = []

    class Nested(gym.Env[Any, Any]):
        observation_space = spaces.Dict({"a": spaces.Dict({"b": spaces.Discrete(3)})})
        action_space = spaces.Dict(
            {"arm": spaces.Dict({"x": spaces.Box(0, 8, (2,))}), "go": spaces.Discrete(2, start=1)}
        )

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return {"a": {"b": 2}}, {}

        def step(self, action: Any) -> Any:
            received.append(action)
            return {"a": {"b": 1}}, 0, False, False, {}

    envs = Environments(Nested, 2, check=False)
    assert envs.reset().observation["a/b"].tolist() == [2, 2]
    step = envs.step({"arm/x": np.array([[0, 1], [-1, 2]]), "go": np.array([0, 1])})
    assert step.observation["a/b"].tolist() == [1, 1]
    assert [action["arm"]["x"].tolist() for action in received] == [[4, 8], [0, 8]]
    assert [action["go"] for action in received] == [1, 2]
    assert all(Nested.action_space.contains(action) for action in received)


def first_observations(seed: int, n: int) -> np.ndarray:
    envs = Environments("CartPole-v1", n, seed=seed)
    shown = [envs.reset(), envs.reset()]
    return np.stack([step.observation["vector"] for step in shown])


def test_seeds_are_distinct_and_reproducible() -> None:
    four = first_observations(0, 4)
    assert len(np.unique(four.reshape(8, -1), axis=0)) == 8
    np.testing.assert_array_equal(four, first_observations(0, 4))
    np.testing.assert_array_equal(four[:, :2], first_observations(0, 2))
    others = np.concatenate([four, first_observations(1, 4)]).reshape(16, -1)
    assert len(np.unique(others, axis=0)) == 16  # runs with neighboring seeds share none


def test_parallel_and_serial_records_are_equal() -> None:
    traces = []
    for mode in ("serial", "parallel"):
        with Environments("reverie/Catch-v0", 2, mode=mode, seed=5) as envs:
            shown = [envs.reset()] + [envs.step({"action": np.array([0, 2])}) for _ in range(9)]
        traces.append(shown)
    for one, other in zip(*traces, strict=True):
        np.testing.assert_equal(one._asdict(), other._asdict())


class Broken(Counting):
    """Returns the given reward, and the given observation if it is not None."""

    def __init__(self, reward: Any = 0.0, observation: Any = None) -> None:
        super().__init__(9)
        self.wrong, self.wrong_observation = reward, observation

    def step(self, action: Any) -> Any:
        observation, _, *ends = super().step(action)
        if self.wrong_observation is not None:
            observation = self.wrong_observation
        return observation, self.wrong, *ends


@pytest.mark.parametrize("reward", [np.nan, np.inf, 1e300, None, "much", "1", np.zeros(1), [1.0]])
def test_bad_reward(reward: Any) -> None:
    envs = Environments(Broken, env_kwargs={"reward": reward})
    envs.reset()
    with pytest.raises(BrokenEnvironmentError, match=r"environment 0 returned the reward .*one finite number"):
        envs.step({"action": np.array([0])})


@pytest.mark.parametrize("reward", [1, True, np.float64(1), np.int32(1), np.array(1.0)])
def test_good_reward(reward: Any) -> None:
    envs = Environments(Broken, env_kwargs={"reward": reward})
    envs.reset()
    assert envs.step({"action": np.array([0])}).reward.tolist() == [1]


@pytest.mark.parametrize(
    ("observation", "words"),
    [
        (
            np.array([0, np.nan]),
            r"environment 0: observation 'vector' is nan at index \(1,\), which cannot be learned from",
        ),
        (np.zeros(1), r"environment 0: observation 'vector' has shape \(1,\), but its space has \(2,\)"),
        (np.zeros(2, complex), "complex128, but its space is float64"),
    ],
)
def test_bad_observation(observation: Any, words: str) -> None:
    envs = Environments(Broken, env_kwargs={"observation": observation})
    envs.reset()
    with pytest.raises(BrokenEnvironmentError, match=words):
        envs.step({"action": np.array([0])})


@pytest.mark.parametrize("flag", [None, "False", "", 2, np.nan, np.zeros(2, bool), [True]])
def test_bad_flags(flag: Any) -> None:
    class Flagged(Counting):
        def step(self, action: Any) -> Any:
            observation, reward, _, truncated, info = super().step(action)
            return observation, reward, flag, truncated, info

    envs = Environments(Flagged)
    envs.reset()
    with pytest.raises(BrokenEnvironmentError, match="environment 0 returned terminated=.*, which must be a bool"):
        envs.step({"action": np.array([0])})


class Tensor:
    """A tensor on a device, with PyTorch's methods."""

    def __init__(self, array: np.ndarray, where: str = "cuda") -> None:
        self.array, self.where = array, where

    def detach(self) -> Any:
        return self

    def cpu(self) -> Any:
        return Tensor(self.array, "cpu")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.where == "cuda":
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        return self.array


class OnlyDLPack:
    """An array that can only be exchanged."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("kind", [Tensor, OnlyDLPack, np.ndarray.tolist])
def test_arrays_of_other_packages_are_converted(kind: Any) -> None:
    envs = Environments(Broken, env_kwargs={"observation": kind(np.array([3.0, 4.0]))})
    envs.reset()
    assert envs.step({"action": np.array([0])}).observation["vector"].tolist() == [[3, 4]]


@pytest.mark.parametrize("value", [{"a": 1}, [None, 1.0]])
def test_what_is_no_array_is_refused(value: Any) -> None:
    envs = Environments(Broken, env_kwargs={"observation": value})
    envs.reset()
    with pytest.raises(BrokenEnvironmentError, match=r"observation 'vector' is a .*: return a NumPy array"):
        envs.step({"action": np.array([0])})


def test_the_faulty_environment_is_named() -> None:
    made = []

    def make() -> gym.Env[Any, Any]:
        made.append(Broken(reward=np.nan) if len(made) == 1 else Counting())
        return made[-1]

    envs = Environments(make, 3, check=False)
    envs.reset()
    with pytest.raises(BrokenEnvironmentError, match="environment 1 returned the reward nan"):
        envs.step({"action": np.zeros(3, int)})


def test_an_error_in_a_process_is_raised_here() -> None:
    with Environments(Broken, mode="parallel", env_kwargs={"reward": np.nan}) as envs:
        envs.reset()
        with pytest.raises(BrokenEnvironmentError, match=r"environment 0 .* reward nan"):
            envs.step({"action": np.array([0])})


def test_an_environment_object_is_stepped_alone() -> None:
    envs = Environments(Counting())
    assert envs.num_envs == 1
    assert envs.spaces == Spaces.from_env(Counting())
    for wrong in ({"num_envs": 2}, {"mode": "parallel"}):
        with pytest.raises(ValueError, match=r"only be stepped alone.*pass its name"):
            Environments(Counting(), **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        Environments("CartPole-v1", 0)


@pytest.mark.parametrize("processes", [False, True])
def test_unsupported_spaces_are_reported_first(processes: bool) -> None:
    class Odd(Counting):
        observation_space = spaces.Sequence(spaces.Discrete(2))  # type: ignore[assignment]

    with pytest.raises(UnsupportedSpaceError, match="Sequence"):
        Environments(Odd, mode="parallel" if processes else "serial")


def test_step_before_reset() -> None:
    with pytest.raises(RuntimeError, match="call reset"):
        Environments(Counting).step({"action": np.array([0])})


@pytest.mark.parametrize("processes", [False, True])
def test_render_frame(processes: bool) -> None:
    settings = {"render_mode": "rgb_array"}
    with Environments(
        "reverie/CatchVector-v0", 2, mode="parallel" if processes else "serial", env_kwargs=settings
    ) as envs:
        envs.reset()
        frames = [envs.render_frame(i) for i in range(2)]
    assert all(frame.shape == (64, 64, 3) and frame.dtype == np.uint8 for frame in frames)
    assert not np.array_equal(*frames)


def test_render_frame_needs_a_render_mode() -> None:
    envs = Environments("reverie/Catch-v0")
    envs.reset()
    with pytest.raises(ValueError, match=r'env_kwargs={"render_mode": "rgb_array"}'):
        envs.render_frame()
