"""Checks before a run: outdated interfaces, and copies that disturb each other in one process."""

import random
import time
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from reverie.envs import Environments, make_env
from reverie.envs.guard import Guarded, InterfaceError
from reverie.envs.probe import SharedSimulatorError
from reverie.training import inspect

WORLD = {"time": 0}


class Base(gym.Env[Any, Any]):
    """Observes random numbers from its own generator; episodes take 8 steps."""

    observation_space, action_space = spaces.Box(-1, 1, (2,)), spaces.Discrete(2)

    def see(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.see(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return self.see(), 1.0, self.time >= 8, False, {}


class NoOptions(Base):
    def reset(self, seed: int | None = None) -> Any:  # type: ignore[override]
        return super().reset(seed=seed)


class OnlyObservation(Base):
    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        return super().reset(seed=seed)[0]


class FourValues(Base):
    def step(self, action: Any) -> Any:
        return self.see(), 1.0, False, {}


OLD = [
    (
        NoOptions,
        r"'NoOptions' does not accept 'options': define it as 'def reset\(self, \*, seed=None, options=None\)'",
    ),
    (OnlyObservation, r"reset\(\) of 'OnlyObservation' returned a ndarray, .* 'return observation, {}'.*openai_gym"),
    (FourValues, r"step\(\) of 'FourValues' returned 4 values, .*split 'done' into terminated and truncated"),
]


@pytest.mark.parametrize(("kind", "sentence"), OLD)
@pytest.mark.parametrize("limited", [False, True])  # Gymnasium's own wrapper fails on what it gets
def test_outdated_interfaces_are_refused_before_the_start(kind: type[Base], sentence: str, limited: bool) -> None:
    started = time.monotonic()
    with pytest.raises(InterfaceError, match=sentence):
        Environments(kind, 2, restarts=10, time_limit=5 if limited else 0)
    with pytest.raises(InterfaceError, match=sentence):
        inspect(kind)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("kind", "sentence"), OLD[1:])
def test_an_outdated_environment_object_is_not_restarted(kind: type[Base], sentence: str) -> None:
    envs = Environments(kind())
    with pytest.raises(InterfaceError, match=sentence):
        [envs.reset(), envs.step({"action": np.zeros(1, int)})]


def test_an_outdated_interface_is_refused_in_parallel_mode() -> None:
    with pytest.raises(InterfaceError, match="'FourValues' returned 4 values"):
        Environments(FourValuesOfSomeModule(), 2, mode="parallel")


class FourValuesOfSomeModule:
    """A factory that worker processes can recreate without this file."""

    def __call__(self) -> Any:
        return FourValues()


class Shared(Base):
    """All copies share the time; observations are not repeatable."""

    def see(self) -> Any:
        return np.random.default_rng().uniform(-1, 1, 2).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        WORLD["time"] = 0
        return self.see(), {}

    def step(self, action: Any) -> Any:
        WORLD["time"] += 1
        return self.see(), 1.0, WORLD["time"] >= 8, False, {}


class Clock(Base):
    """Observes the time that all copies share; nothing else is shared."""

    def see(self) -> Any:
        return np.array([WORLD["time"] / 1000, 0], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        WORLD["time"] = 0
        return super().reset(seed=seed)

    def step(self, action: Any) -> Any:
        WORLD["time"] += 1
        return super().step(action)


@pytest.mark.parametrize(("kind", "part"), [(Shared, "episode ends"), (Clock, "observations")])
def test_a_shared_simulator_is_refused_for_several_copies(kind: type[Base], part: str) -> None:
    with pytest.raises(SharedSimulatorError, match=f"{part} of one copy change .* --env.mode parallel"):
        Environments(kind, 2)
    with pytest.raises(SharedSimulatorError):  # training holds another copy
        Environments(kind, held_out=True)
    Environments(kind).close()


class GlobalGenerators(Base):
    """Seeds the global generators and draws from them, as old environments do."""

    def see(self) -> Any:
        return np.array([np.random.uniform(-1, 1), random.uniform(-1, 1)], np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            np.random.seed(seed)
            random.seed(seed)
        return super().reset(seed=seed)


class SpaceOfTheClass(Base):
    """Draws from the space of the class, whose generator all copies share."""

    def see(self) -> Any:
        return self.observation_space.sample()

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None:
            self.observation_space.seed(seed)
        return super().reset(seed=seed)


class Unrepeatable(Base):
    """Nothing about it can be repeated."""

    def step(self, action: Any) -> Any:
        chance = np.random.default_rng()
        return self.see(), float(chance.normal()), chance.random() < 0.05, False, {}


@pytest.mark.parametrize("kind", [Base, GlobalGenerators, SpaceOfTheClass, Unrepeatable])
def test_shared_random_generators_are_not_mistaken_for_a_shared_simulator(kind: type[Base]) -> None:
    for _ in range(5):
        Environments(kind, 3).close()


def test_the_check_changes_no_random_numbers() -> None:
    def observed(check: bool) -> list[Any]:
        np.random.seed(3)
        random.seed(3)
        with Environments(GlobalGenerators, 2, check=check) as envs:
            shown = [np.random.random(), random.random(), envs.reset().observation["vector"].tolist()]
            shown += [envs.step({"action": np.zeros(2, int)}).observation["vector"].tolist() for _ in range(20)]
        return shown

    assert observed(True) == observed(False)


def test_the_check_costs_little() -> None:
    started = time.monotonic()
    Environments("CartPole-v1", 4).close()
    assert time.monotonic() - started < 1


def test_a_guarded_environment_names_the_layer_with_the_wrong_interface() -> None:
    class Outdated(gym.Wrapper[Any, Any, Any, Any]):
        def step(self, action: Any) -> Any:
            observation, reward, terminated, truncated, info = self.env.step(action)
            return observation, reward, terminated or truncated, info

    guarded = Guarded(Outdated(make_env("CartPole-v1")), 0)
    guarded.reset(seed=0)
    with pytest.raises(InterfaceError, match="returned 4 values"):
        guarded.step(0)
