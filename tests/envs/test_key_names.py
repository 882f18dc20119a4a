"""Observations and actions of any name: nothing of Reverie's own shares a namespace with them."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from reverie import Agent
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.training import Trainer

TINY = Config(
    model=ModelConfig(deter=8, hidden=4, classes=4, depth=2, units=8, groups=2, blocks=2),
    behaviour=BehaviourConfig(imagination_length=2),
    replay=ReplayConfig(batch=2, length=4),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=24, train_ratio=1, log_every=0, dream_every=0, tensorboard=False),
)
NUMBER = spaces.Box(-1, 1, (1,))
OBSERVED = ["reward", "policy", "is_first", "two words", "naïve/ключ"]
ACTED = ["reward", "observation", "déjà vu"]


class Named(gym.Env[Any, Any]):
    """Observes random numbers under names that Reverie uses itself."""

    observation_space = spaces.Dict(dict.fromkeys(OBSERVED, NUMBER) | {"is_last": spaces.Dict({"stoch": NUMBER})})
    action_space = spaces.Dict({name: spaces.Discrete(2) for name in ACTED})

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self.observe(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.time += 1
        return self.observe(), 1.0, self.time == 5, False, {}

    def observe(self) -> Any:
        number = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return dict.fromkeys(OBSERVED, number) | {"is_last": {"stoch": number}}


def test_keys_may_have_any_name(tmp_path: Any) -> None:
    trainer = Trainer(Named, TINY, logdir=tmp_path / "run", quiet=True)
    agent = trainer.run()
    trainer.close()
    assert trainer.updates > 0
    loaded = Agent.load(tmp_path / "run")
    assert set(loaded.spaces.observation) == {*OBSERVED, "is_last/stoch"}
    assert set(loaded.spaces.action) == set(ACTED)
    observation, _ = Named().reset(seed=0)
    for one in (agent, loaded):
        action, _ = one.act(observation, one.initial_carry())
        assert Named.action_space.contains(action)
