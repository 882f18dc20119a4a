"""Real runs to dream in, which collected experience and saved it. Their networks are untrained."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest

from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.dreams import Dreamer
from reverie.training import train

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=60, train_ratio=0, log_every=0, tensorboard=False),
)


class Everything(gym.Env):
    """Observations and actions of every kind."""

    observation_space = gym.spaces.Dict(
        {
            "camera": gym.spaces.Box(0, 255, (16, 24, 1), np.uint8),
            "speed": gym.spaces.Box(-np.inf, np.inf, (2,), np.float32),
            "gear": gym.spaces.Discrete(3),
        }
    )
    action_space = gym.spaces.Dict(
        {"turn": gym.spaces.Box(-2, 4, (2,), np.float32), "buttons": gym.spaces.MultiDiscrete([2, 3])}
    )

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        self.left = 12
        return self.observation_space.sample(), {}

    def step(self, action):
        self.left -= 1
        return self.observation_space.sample(), float(action["turn"][0]), False, self.left == 0, {}


ENVS = {
    "vector": "reverie/CatchVector-v0",
    "image": "reverie/Catch-v0",
    "continuous": "Pendulum-v1",
    "everything": Everything,
}


@pytest.fixture
def tiny() -> Config:
    """The config of the runs."""
    return TINY


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """A folder with one run per entry of ENVS, under its name."""
    folder = tmp_path_factory.mktemp("runs")
    for name, env in ENVS.items():
        train(env, TINY, logdir=folder / name, quiet=True)
    return folder


@pytest.fixture(scope="session")
def dreamers(runs) -> dict[str, Dreamer]:
    """An opened run per entry of ENVS."""
    return {kind: Dreamer.load(runs / kind) for kind in ENVS}


@pytest.fixture(params=ENVS)
def dreamer(request, dreamers) -> Dreamer:
    return dreamers[request.param]
