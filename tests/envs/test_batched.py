"""VectorEnvs: the same stream of records per environment in every autoreset mode."""

import sys
from functools import partial
from typing import Any

import cloudpickle
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from reverie.envs import BrokenEnvironmentError, Environments, make_env, open_environments
from reverie.envs.batched import VectorEnvironments
from reverie.envs.make import NotAnEnvironmentError, UnknownEnvironmentError
from reverie.errors import InputError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # worker processes cannot import this file

MODES = list(AutoresetMode)
LENGTHS = [3, 1, 4]


class Scripted(gym.Env[Any, Any]):
    """Observes (episode, time) and the previous action; alternately terminates and truncates after `length` steps."""

    observation_space = spaces.Dict({"at": spaces.Box(0, 99, (2,), np.float32), "did": spaces.Discrete(4)})
    action_space = spaces.Discrete(4)

    def __init__(self, length: int) -> None:
        self.length, self.episode = length, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return self.observe(0), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        assert self.time <= self.length, "stepped beyond the end"
        end, terminates = self.time == self.length, self.episode % 2 == 1
        return self.observe(int(action)), 10 * self.episode + self.time, end and terminates, end and not terminates, {}

    def observe(self, did: int) -> Any:
        return {"at": np.array([self.episode, self.time], np.float32), "did": did}


class Batched(VectorEnv[Any, Any, Any]):
    """A VectorEnv whose final observations are a batch, as in natively vectorized environments."""

    def __init__(self, inner: SyncVectorEnv) -> None:
        self.inner, self.num_envs, self.metadata = inner, inner.num_envs, inner.metadata
        self.single_observation_space = inner.single_observation_space
        self.single_action_space = inner.single_action_space
        self.render_mode = None

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return self.inner.reset(seed=seed, options=options)

    def step(self, action: Any) -> Any:
        *rest, info = self.inner.step(action)
        if "final_obs" in info:
            shown = [one or self.single_observation_space.sample() for one in info["final_obs"]]
            info = {"final_obs": {key: np.stack([one[key] for one in shown]) for key in shown[0]}}
        return *rest, info


class Tensor:
    """A tensor on a GPU, with the methods of PyTorch's that matter here."""

    def __init__(self, array: Any, where: str = "cuda") -> None:
        self.array, self.where = np.asarray(array), where

    def cpu(self) -> Any:
        return Tensor(self.array, "cpu")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        if self.where == "cuda":
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy it first.")
        return self.array


class OnDevice(Batched):
    """A VectorEnv that simulates on a GPU, and leaves everything there."""

    @classmethod
    def of(cls, mode: AutoresetMode) -> Any:
        return cls(sync(mode))

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        shown, info = super().reset(seed=seed, options=options)
        return self.moved(shown), info

    def step(self, action: Any) -> Any:
        shown, *rest, info = super().step(action)
        if "final_obs" in info:
            info["final_obs"] = self.moved(info["final_obs"])
        return self.moved(shown), *map(Tensor, rest), info

    def moved(self, shown: Any) -> Any:
        return {key: Tensor(value) for key, value in shown.items()}


def sync(mode: AutoresetMode, **kwargs: Any) -> SyncVectorEnv:
    return SyncVectorEnv([lambda n=n: Scripted(n) for n in LENGTHS], autoreset_mode=mode, **kwargs)


def streams(envs: Any, length: int) -> list[list[tuple[Any, ...]]]:
    """The first records of each environment; the action is its index plus the time, modulo 3."""
    found: list[list[tuple[Any, ...]]] = [[] for _ in LENGTHS]
    step = envs.reset()
    while min(map(len, found)) < length:
        action = np.full(len(LENGTHS), 3)  # actions of environments that are not ready must not matter
        for i in np.flatnonzero(envs.ready):
            at, did = step.observation["at"][i].tolist(), int(step.observation["did"][i])
            found[i].append((*at, did, float(step.reward[i]), *(bool(flag[i]) for flag in step[2:])))
            action[i] = (i + at[1]) % 3
        step = envs.step({"action": action})
    return [stream[:length] for stream in found]


@pytest.fixture(scope="module")
def expected() -> list[list[tuple[Any, ...]]]:
    """The records of Reverie's own environments."""
    found = []
    for i, length in enumerate(LENGTHS):
        envs, stream = Environments(partial(Scripted, length), check=False), []
        step = envs.reset()
        for _ in range(40):
            at, did = step.observation["at"][0].tolist(), int(step.observation["did"][0])
            stream.append((*at, did, float(step.reward[0]), *(bool(flag[0]) for flag in step[2:])))
            step = envs.step({"action": np.array([(i + at[1]) % 3], int)})
        found.append(stream)
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "make", [sync, lambda mode: sync(mode, copy=False), lambda mode: Batched(sync(mode)), OnDevice.of]
)
def test_every_mode_returns_the_same_streams(mode: AutoresetMode, make: Any, expected: Any) -> None:
    with VectorEnvironments(make(mode)) as envs:
        found = streams(envs, 40)
    assert found == expected
    assert found[1][:4] == [
        (1, 0, 0, 0, True, False, False),
        (1, 1, 1, 11, False, True, True),
        (2, 0, 0, 0, True, False, False),
        (2, 1, 1, 21, False, True, False),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_async_vector_envs_return_the_same_streams(mode: AutoresetMode, expected: Any) -> None:
    env = AsyncVectorEnv([lambda n=n: Scripted(n) for n in LENGTHS], autoreset_mode=mode, context="spawn")
    with VectorEnvironments(env) as envs:
        assert streams(envs, 15) == [stream[:15] for stream in expected]


def test_named_async_vector_envs_do_not_fork() -> None:
    """Forking warns of deadlocks, as JAX runs threads."""
    mode = {"vectorization_mode": "async"}
    with open_environments("CartPole-v1", 1, mode="vector", env_kwargs=mode) as envs:
        assert isinstance(envs, VectorEnvironments)
        (process,) = envs._env.unwrapped.processes  # type: ignore[attr-defined]
        assert type(process).__name__ == "SpawnProcess"


def test_returned_observations_do_not_change(expected: Any) -> None:
    with VectorEnvironments(sync(AutoresetMode.SAME_STEP, copy=False)) as envs:
        shown = [(envs.reset(), envs.ready)]
        shown += [(envs.step({"action": np.zeros(3, int)}), envs.ready) for _ in range(20)]
    for i, stream in enumerate(expected):
        at = [tuple(step.observation["at"][i]) for step, ready in shown if ready[i]]
        assert at == [record[:2] for record in stream[: len(at)]]


def test_seeds_are_reproducible_and_held_out_seeds_differ() -> None:
    def first(**settings: Any) -> np.ndarray:
        with open_environments("CartPole-v1", 3, mode="vector", **settings) as envs:
            assert isinstance(envs, VectorEnvironments)
            return envs.reset().observation["vector"]

    np.testing.assert_array_equal(first(seed=1), first(seed=1))
    assert np.any(first(seed=1) != first(seed=2))
    assert np.any(first(seed=1) != first(seed=1, held_out=True))


def test_factories_and_objects_are_accepted() -> None:
    def factory(num_envs: int) -> VectorEnv[Any, Any, Any]:
        return sync(AutoresetMode.DISABLED) if num_envs == 3 else gym.make_vec("CartPole-v1", num_envs=2)

    for env in (factory, sync(AutoresetMode.DISABLED)):
        with open_environments(env, 3, mode="vector") as envs:
            assert envs.reset().observation["at"].tolist() == [[1, 0]] * 3
    with pytest.raises(NotAnEnvironmentError, match="has 2 environments, expected 5"):
        open_environments(factory, 5, mode="vector")


@pytest.mark.parametrize(
    ("env", "error", "sentence"),
    [
        (lambda num_envs: gym.make("CartPole-v1"), NotAnEnvironmentError, "choose a mode other than 'vector'"),
        ("atari/pong", NotAnEnvironmentError, "choose a mode other than 'vector'"),
        ("CartPol-v1", UnknownEnvironmentError, "did you mean 'CartPole-v1'"),
    ],
)
def test_anything_but_a_vector_env_is_refused(env: Any, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        open_environments(env, 2, mode="vector")


def test_a_vector_env_in_another_mode_gets_a_hint() -> None:
    with pytest.raises(NotAnEnvironmentError, match="use it with --env.mode vector"):
        make_env(lambda: sync(AutoresetMode.NEXT_STEP))


def test_a_missing_autoreset_mode_is_refused() -> None:
    env = sync(AutoresetMode.NEXT_STEP)
    env.metadata = {}
    with pytest.raises(InputError, match="does not name its autoreset mode"):
        VectorEnvironments(env)


@pytest.mark.parametrize("reward", [np.nan, np.inf])
def test_a_reward_that_is_not_finite_is_named(reward: float) -> None:
    class Bad(Scripted):
        def step(self, action: Any) -> Any:
            observation, _, *rest = super().step(action)
            return observation, reward, *rest

    envs = VectorEnvironments(SyncVectorEnv([lambda: Bad(3)]))
    envs.reset()
    with pytest.raises(BrokenEnvironmentError, match="must return 1 finite rewards"):
        envs.step({"action": np.array([0])})


def test_a_missing_final_observation_is_named() -> None:
    class Without(Batched):
        def step(self, action: Any) -> Any:
            *rest, _ = super().step(action)
            return *rest, {}

    envs = VectorEnvironments(Without(sync(AutoresetMode.SAME_STEP)))
    envs.reset()
    with pytest.raises(BrokenEnvironmentError, match="without info\\['final_obs'\\]"):
        envs.step({"action": np.zeros(3, int)})
