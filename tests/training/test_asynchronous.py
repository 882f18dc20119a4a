"""Training in asynchronous environments: complete streams, updates and resuming."""

import sys
import time
from dataclasses import replace

import cloudpickle
import gymnasium as gym
import jax
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import reverie
from reverie.agent import Carry, initial_carry, keep_rows, policy_step
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.training import Trainer, evaluate
from reverie.training.metrics import read_metrics

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # worker processes can't import this file

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2, mode="async"),
    run=RunConfig(steps=100, train_ratio=4, log_every=0, tensorboard=False),
)


class Counting(gym.Env):
    """Observes its episode's number and time; one of two is slow. Episodes have 4 steps, the reward is the action."""

    observation_space = gym.spaces.Box(0, 999, (2,), np.float32)
    action_space = gym.spaces.Discrete(3)
    episode = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.pause = 0.1 * (seed % 2)
        self.episode, self.time = self.episode + 1, 0
        return np.array([self.episode, 0], np.float32), {}

    def step(self, action):
        time.sleep(self.pause)
        self.time += 1
        return np.array([self.episode, self.time], np.float32), float(action), self.time == 4, False, {}


def streams(trainer) -> list[dict[str, np.ndarray]]:
    """All records of each stream."""
    (records, latents) = (trainer.loop.replay.parts()[f"{kind}.000000"][1]() for kind in ("records", "latents"))
    counts = trainer.loop.replay.state()["count"]
    return [{name: leaf[i, :count] for name, leaf in (records | latents).items()} for i, count in enumerate(counts)]


def test_streams_are_whole_though_one_is_slow(tmp_path):
    trainer = Trainer(Counting, TINY, logdir=tmp_path / "run", quiet=True)
    trainer.run()
    trainer.close()
    slow, fast = sorted(streams(trainer), key=lambda stream: len(stream["reward"]))
    assert len(fast["reward"]) > 2 * len(slow["reward"]) > 0
    assert_whole(trainer)


def assert_whole(trainer) -> None:
    """Check that every episode is complete, with the action taken in each step."""
    for stream in streams(trainer):
        at = np.arange(len(stream["reward"]))
        np.testing.assert_array_equal(stream["observation.vector"], np.stack([1 + at // 5, at % 5], 1))
        np.testing.assert_array_equal(stream["is_first"], at % 5 == 0)
        np.testing.assert_array_equal(stream["is_last"], at % 5 == 4)
        # The reward tells which action was executed: that of the previous record.
        np.testing.assert_array_equal(stream["reward"][1:], stream["action.action"][:-1] * (at[1:] % 5 > 0))
    decisions = sum(int(np.sum(~stream["is_last"])) for stream in streams(trainer))
    assert trainer.env_steps == decisions
    assert trainer.updates > 10


class Quick(Counting):
    """The same without pauses."""

    def step(self, action):
        self.pause = 0
        return super().step(action)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_streams_of_a_vector_environment_are_whole(mode):
    env = SyncVectorEnv([Quick] * 3, autoreset_mode=mode)
    trainer = Trainer(env, TINY, quiet=True)
    assert (trainer.config.env.mode, trainer.config.env.envs) == ("auto", 3)
    trainer.run()
    trainer.close()
    assert_whole(trainer)
    assert (
        trainer.episodes.count
        == sum(int(stream["is_last"].sum()) for stream in streams(trainer)) + 3 * (trainer.loop._now[0].is_last[0])
    )
    result = evaluate(trainer.agent, SyncVectorEnv([Quick] * 2, autoreset_mode=mode), episodes=5)
    assert result.lengths == (4,) * 5


def test_a_run_of_a_vector_environment_by_name_is_continued(tmp_path):
    config = replace(TINY, env=EnvConfig(envs=2, mode="vector"), run=replace(TINY.run, eval_every=40, eval_episodes=2))
    for steps in (40, 80):
        trainer = Trainer("CartPole-v1", config, steps=steps, logdir=tmp_path / "run", quiet=True)
        trainer.run()
        trainer.close()
    assert [row["step"] for row in read_metrics(tmp_path / "run") if "eval/return" in row] == [40, 80]
    assert len(reverie.evaluate(trainer.agent, "CartPole-v1", episodes=2).returns) == 2


def test_a_run_may_change_between_lockstep_and_not(tmp_path):
    for steps, mode in ((40, "serial"), (80, "async"), (120, "parallel")):
        config = replace(TINY, env=replace(TINY.env, mode=mode))
        trainer = Trainer(Counting, config, steps=steps, logdir=tmp_path / "run", quiet=True)
        before = trainer.env_steps
        trainer.run()
        trainer.close()
        assert before < steps <= trainer.env_steps


def test_rows_that_are_not_ready_keep_their_carry():
    trainer = Trainer(Counting, replace(TINY, env=EnvConfig(envs=2)), quiet=True)
    trainer.close()
    networks, observation = trainer.agent.networks, {"vector": np.ones((2, 2), np.float32)}
    act = lambda carry: policy_step(networks, observation, np.zeros(2, bool), carry, dtype=np.dtype("float32"))  # noqa: E731
    old = act(initial_carry(networks, 2, jax.random.key(0)))
    new = act(old)
    kept = keep_rows(np.array([True, False]), new, old)
    assert isinstance(kept, Carry)
    for ours, first, second in zip(*(jax.tree.leaves(c._replace(key=c.fresh)) for c in (kept, new, old)), strict=True):
        np.testing.assert_array_equal(ours[0], first[0])
        np.testing.assert_array_equal(ours[1], second[1])
    np.testing.assert_array_equal(jax.random.key_data(kept.key), jax.random.key_data(new.key))
