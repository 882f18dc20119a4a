"""Training works for every kind of space: an agent is made, learns and acts within it."""

from dataclasses import replace

import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reverie import Agent
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.training import Trainer, evaluate, inspect

TINY = Config(
    model=ModelConfig(deter=8, hidden=4, classes=4, depth=2, units=8, groups=2, blocks=2),
    behaviour=BehaviourConfig(imagination_length=2),
    replay=ReplayConfig(batch=2, length=4),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=40, train_ratio=1, log_every=0, dream_every=0, tensorboard=False),
)


def environment(observed: gym.Space, acted: gym.Space) -> type[gym.Env]:
    """An environment that samples its observation space and checks that actions are in its action space."""

    class Drawn(gym.Env):
        observation_space, action_space = observed, acted

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.observation_space.seed(seed)
            self.time = 0
            return self.observation_space.sample(), {}

        def step(self, action):
            assert self.action_space.contains(action), f"{action} is not in {self.action_space}"
            self.time += 1
            return self.observation_space.sample(), 1.0, self.time == 9, False, {}

    return Drawn


def assert_round_trip(observed: gym.Space, acted: gym.Space, tmp_path) -> None:
    env = environment(observed, acted)
    trainer = Trainer(env, TINY, logdir=tmp_path, quiet=True)
    agent = trainer.run()
    trainer.close()
    assert trainer.updates > 0
    assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(agent.networks))
    loaded = Agent.load(tmp_path)
    assert loaded.spaces == agent.spaces
    carry = loaded.initial_carry()
    for _ in range(3):
        action, carry = loaded.act(observed.sample(), carry)
        assert acted.contains(action)


EVERYTHING = spaces.Dict(
    {
        "camera": spaces.Box(0, 255, (3, 84, 84), np.uint8),
        "tiny": spaces.Box(0.0, 1.0, (9, 30, 1), np.float64),
        "pair": spaces.Tuple([spaces.Discrete(4, start=-1), spaces.Box(-np.inf, np.inf, (2, 3), np.float64)]),
        "grid": spaces.Box(0, 10, (7, 7, 3), np.uint8),
        "bits": spaces.MultiBinary([2, 2]),
        "cards": spaces.MultiDiscrete([3, 7], start=[1, 0]),
    }
)
ANYTHING = spaces.Dict(
    {
        "levers": spaces.MultiDiscrete([[2, 5], [3, 1]], start=[[0, 1], [0, 7]]),
        "bits": spaces.MultiBinary(3),
        "both": spaces.Tuple([spaces.Box(-np.inf, 3, (2,)), spaces.Discrete(3, start=5)]),
        "turn": spaces.Box(np.array([-1, 0], np.float32), np.array([1, 9], np.float32)),
    }
)


def test_every_kind_of_space_at_once(tmp_path):
    assert_round_trip(EVERYTHING, ANYTHING, tmp_path / "run")


def test_inspect_says_what_goes_where(capsys):
    inspect(environment(EVERYTHING, ANYTHING), TINY)
    told = capsys.readouterr().out
    assert "camera: 84×84×3 image → convolutions, on 96×96" in told
    assert "pair/0: one of 4 classes → vector trunk" in told
    assert "levers: 2×2 of 1 to 5 classes → categorical" in told
    assert "both/0: 2 numbers → bounded normal" in told
    assert "parameters" in told
    assert "bytes per step" in told
    assert "train ratio 1: an update every 8 env steps" in told


def test_inspect_names_all_that_it_cannot_take():
    space = spaces.Dict(
        {"mission": spaces.Text(5), "items": spaces.Sequence(spaces.Discrete(3)), "x": spaces.Discrete(2)}
    )
    with pytest.raises(ValueError, match="'items' is Sequence.*'mission' is Text"):
        inspect(environment(space, spaces.Discrete(2)), TINY)
    chosen = replace(TINY, env=replace(TINY.env, keys="x"), replay=replace(TINY.replay, home="disk"))
    inspect(environment(space, spaces.Discrete(2)), chosen)


class Odd(gym.Space):
    """A user-defined space."""

    def sample(self, mask=None, probability=None):
        return object()

    def contains(self, x):
        return True


@pytest.mark.slow
@pytest.mark.parametrize("processes", [False, True])
def test_what_keys_leave_out_may_be_anything(tmp_path, processes):
    config = replace(TINY, env=replace(TINY.env, keys="x|pair/1", mode="parallel" if processes else "serial"))
    trainer = Trainer(Mixed, config, steps=20, logdir=tmp_path / "run", quiet=True)
    agent = trainer.run()
    trainer.close()
    assert list(agent.spaces.observation) == ["pair/1", "x"]
    loaded = Agent.load(tmp_path / "run")
    observation, _ = Mixed().reset(seed=0)
    action, _ = loaded.act(observation, loaded.initial_carry())
    assert action in (0, 1)
    assert evaluate(loaded, Mixed, episodes=2).mean_length == 5


class Mixed(gym.Env):
    """Some of its observations are unsupported, and some change their shape."""

    observation_space = spaces.Dict(
        {
            "mission": spaces.Text(5),  # longer than its space allows
            "items": spaces.Sequence(spaces.Discrete(3)),
            "odd": Odd(),
            "x": spaces.Discrete(2),
            "pair": spaces.Tuple([spaces.Text(3), spaces.Box(-1, 1, (2,))]),
        }
    )
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self._observe(), {}

    def step(self, action):
        self.time += 1
        return self._observe(), 1.0, self.time == 5, False, {}

    def _observe(self):
        pair = ("go", np.zeros(2, np.float32))
        return {"mission": "go to the red door", "items": (1,) * self.time, "odd": object(), "x": 1, "pair": pair}


# Random spaces

counts = st.integers(1, 6)
numbers = st.builds(
    lambda shape, low, high: spaces.Box(low, high, shape, np.float32),
    st.lists(st.integers(1, 3), max_size=2).map(tuple),
    st.sampled_from([-np.inf, -2.0]),
    st.sampled_from([np.inf, 5.0]),
)
integers = (
    st.builds(spaces.Discrete, counts, start=st.integers(-3, 3))
    | st.lists(counts, min_size=1, max_size=3).map(spaces.MultiDiscrete)
    | st.lists(st.integers(1, 2), min_size=1, max_size=2).map(spaces.MultiBinary)
)
images = st.builds(
    lambda shape, kind: spaces.Box(0, kind[0], shape, kind[1]),
    st.tuples(st.integers(8, 40), st.integers(8, 40), st.integers(1, 3)),
    st.sampled_from([(255, np.uint8), (1, np.float32)]),
)


def nested(leaves: st.SearchStrategy) -> st.SearchStrategy:
    return st.recursive(
        leaves,
        lambda inner: (
            st.dictionaries(st.sampled_from("abc"), inner, min_size=1, max_size=2).map(spaces.Dict)
            | st.lists(inner, min_size=1, max_size=2).map(spaces.Tuple)
        ),
        max_leaves=3,
    )


@pytest.mark.slow
@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(observed=nested(numbers | integers | images), acted=nested(numbers | integers))
def test_spaces_by_chance(tmp_path_factory, observed, acted):
    assert_round_trip(observed, acted, tmp_path_factory.mktemp("any") / "run")
