"""Time limit and action repeat: their effect on records, and the counting of steps."""

from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import reverie
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.envs import Environments
from reverie.errors import InputError
from reverie.training import Trainer
from reverie.training.metrics import read_metrics

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2, action_repeat=3, time_limit=2),
    run=RunConfig(steps=40, train_ratio=0, log_every=0, tensorboard=False),
)


class Counting(gym.Env[Any, Any]):
    """Observes the time, rewards 10 to the power of it, and terminates after `length` steps."""

    observation_space = gym.spaces.Box(0, 99, (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, length: int = 10) -> None:
        self.length = length

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        assert self.time <= self.length, "stepped beyond the end"
        return np.array([self.time], np.float32), 10**self.time, self.time == self.length, False, {}


def records(count: int, **settings: Any) -> list[tuple[Any, ...]]:
    """(time, reward, is_first, is_last, is_terminal)."""
    with Environments(Counting, **settings) as envs:
        shown = [envs.reset()] + [envs.step({"action": np.zeros(1, int)}) for _ in range(count - 1)]
    return [(int(step.observation["vector"][0, 0]), *(x.item() for x in step[1:])) for step in shown]


def test_action_repeat_sums_rewards_and_stops_at_the_end() -> None:
    assert records(5, action_repeat=3, env_kwargs={"length": 5}) == [
        (0, 0, True, False, False),
        (3, 1110, False, False, False),
        (5, 110_000, False, True, True),
        (0, 0, True, False, False),
        (3, 1110, False, False, False),
    ]


def test_a_limit_truncates() -> None:
    assert records(4, time_limit=2) == [
        (0, 0, True, False, False),
        (1, 10, False, False, False),
        (2, 100, False, True, False),
        (0, 0, True, False, False),
    ]


def test_a_limit_counts_decisions() -> None:
    times = [(time, is_last) for time, _, _, is_last, _ in records(3, time_limit=2, action_repeat=3)]
    assert times == [(0, False), (3, False), (6, True)]


def test_parallel_workers_apply_both() -> None:
    assert records(4, time_limit=2, action_repeat=2, mode="parallel") == records(4, time_limit=2, action_repeat=2)


def test_a_run_counts_decisions_and_reports_frames(tmp_path: Any) -> None:
    trainer = Trainer(Counting, TINY, logdir=tmp_path / "run", quiet=True)
    trainer.run()
    trainer.close()
    rows = read_metrics(tmp_path / "run")
    assert trainer.env_steps == 40
    assert [row["frames"] for row in rows if "frames" in row][-1] == 120
    assert {row["episode/length"] for row in rows if "episode/length" in row} == {2}
    # A saved agent keeps both settings.
    assert reverie.evaluate(reverie.Agent.load(tmp_path / "run"), Counting, episodes=2).lengths == (2, 2)


def test_vector_mode_refuses_both() -> None:
    with pytest.raises(InputError, match="env.time_limit and env.action_repeat"):
        replace(TINY, env=replace(TINY.env, mode="vector"))
