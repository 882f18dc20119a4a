"""Evaluation: whole episodes, evenly spread, repeatable."""

import gymnasium as gym
import numpy as np
import pytest

import reverie
from reverie.config import Config, ModelConfig
from reverie.spaces import Spaces

CONFIG = Config(model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4))


class Uneven(gym.Env):
    """Every other instance has episodes of 2 steps, the rest have 20; the reward is 1 per step."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    made = 0

    def __init__(self):
        self.length = 2 if Uneven.made % 2 else 20
        Uneven.made += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.count += 1
        return np.zeros(1, np.float32), 1.0, False, self.count == self.length, {}


@pytest.fixture(scope="module")
def agent() -> reverie.Agent:
    env = Uneven()
    return reverie.Agent(Spaces(env.observation_space, env.action_space), CONFIG)


def test_short_episodes_do_not_count_more_often(agent):
    Uneven.made = 0
    result = reverie.evaluate(agent, Uneven, episodes=6, envs=2)
    assert sorted(result.returns) == [2, 2, 2, 20, 20, 20]
    assert sorted(result.lengths) == [2, 2, 2, 20, 20, 20]
    assert result.mean == 11
    assert result.std == 9
    assert result.mean_length == 11


def test_a_seed_repeats_and_another_differs():
    agent = reverie.Agent(Spaces.from_env(gym.make("Pendulum-v1")), CONFIG)
    play = lambda seed, **kwargs: reverie.evaluate(agent, "Pendulum-v1", episodes=2, seed=seed, **kwargs).returns  # noqa: E731
    assert play(1) == play(1)
    assert play(1) != play(2)
    assert play(1, deterministic=True) != play(1)


def test_another_environment_is_refused(agent):
    with pytest.raises(ValueError, match="The agent was trained for"):
        reverie.evaluate(agent, "CartPole-v1", episodes=1)
