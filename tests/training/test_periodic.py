"""Evaluation during training: reported, on its own environments, and without effect on what is learned."""

import hashlib
import signal
from dataclasses import replace

import gymnasium as gym
import jax
import numpy as np
import pytest

from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.errors import InputError
from reverie.training import Trainer, train
from reverie.training.metrics import read_metrics

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=120, train_ratio=4, log_every=0, tensorboard=False),
)
EVALUATED = replace(TINY, run=replace(TINY.run, eval_every=40, eval_episodes=3))


class Seen(gym.Env):
    """Episodes of 5 random observations; records seeds and actions of all instances."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Discrete(2)
    instances: list["Seen"]

    def __init__(self):
        self.seeds, self.actions, self.closed = [], [], False
        Seen.instances.append(self)

    def close(self):
        self.closed = True

    def is_evaluated(self) -> bool:
        """Whether it is not one of training's two, which are opened first. Those that are only checked are closed."""
        return opened().index(self) >= 2

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.seeds += [seed] if seed is not None else []
        self.count = 0
        return self.observe(), {}

    def step(self, action):
        self.actions.append(int(action))
        self.count += 1
        return self.observe(), float(action), False, self.count == 5, {}

    def observe(self):
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)


def opened() -> list[Seen]:
    return [env for env in Seen.instances if not env.closed]


def checksum(tree) -> str:
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))).hexdigest()


def trace(config, folder):
    """Checksums of a training run, and the seeds and actions its environments got."""
    Seen.instances = []
    trainer = Trainer(Seen, config, logdir=folder, quiet=True)
    trainer.run()
    Seen.instances = opened()
    trainer.close()
    state = jax.tree.map(lambda x: jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
                         (trainer.loop.state, trainer.loop._now))  # fmt: skip
    replay = {name: part[1]() for name, part in trainer.loop.replay.parts().items()}
    envs = [(env.seeds, env.actions) for env in Seen.instances[:2]]
    return checksum(state), checksum(replay), trainer.loop.replay.state(), envs


def test_training_is_bit_for_bit_what_it_is_without(tmp_path):
    without = trace(TINY, tmp_path / "without")
    assert len(Seen.instances) == 2
    assert trace(EVALUATED, tmp_path / "with") == without
    assert len(Seen.instances) == 4
    trained, evaluated = (
        {seed for env in part for seed in env.seeds} for part in (Seen.instances[:2], Seen.instances[2:])
    )
    assert not trained & evaluated
    # The same episodes each time: three evaluations seed each environment alike.
    assert [len(env.seeds) for env in Seen.instances[2:]] == [3, 3]
    assert len(evaluated) == 2


def test_every_evaluation_has_a_row_and_a_share_of_time(tmp_path, capsys):
    Seen.instances = []
    train(Seen, EVALUATED, logdir=tmp_path / "run")
    rows = read_metrics(tmp_path / "run")
    found = [row for row in rows if "eval/return" in row]
    assert [row["step"] for row in found] == [40, 80, 120]
    for row in found:
        assert row["eval/episodes"] == 3
        assert row["eval/length"] == 5
        assert 0 <= row["eval/return"] <= 5
        assert row["eval/return_std"] >= 0
    assert max(row.get("time/eval", 0) for row in rows) > 0
    assert "Evaluated at step 40: return" in capsys.readouterr().out


class FailsLater(Seen):
    """The instances made by evaluation fail, and so do their replacements."""

    def step(self, action):
        if self.is_evaluated():
            raise OSError("the simulator is gone")
        return super().step(action)


def test_a_failing_environment_is_warned_of_once_and_training_goes_on(tmp_path, capsys):
    Seen.instances = []
    agent = train(FailsLater, EVALUATED, logdir=tmp_path / "run")
    assert capsys.readouterr().out.replace("\n", " ").count("the simulator is gone") == 1
    assert not any("eval/return" in row for row in read_metrics(tmp_path / "run"))
    Seen.instances = []
    assert checksum(agent.networks) == checksum(train(Seen, TINY, quiet=True).networks)


def test_an_environment_that_exists_already_is_refused(tmp_path):
    Seen.instances = []
    with pytest.raises(InputError, match="run.eval_every needs environments of its own"):
        train(Seen(), EVALUATED, logdir=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_an_interrupted_evaluation_is_given_up(tmp_path):
    Seen.instances = []
    trainer = Trainer(Seen, EVALUATED, logdir=tmp_path / "run", quiet=True)
    step = Seen.step

    def interrupting(self, action):
        if self.is_evaluated():
            signal.raise_signal(signal.SIGINT)
        return step(self, action)

    Seen.step = interrupting
    try:
        with pytest.raises(KeyboardInterrupt):
            trainer.run()
    finally:
        Seen.step = step
        trainer.close()
    assert trainer.env_steps == 40
    assert not any("eval/return" in row for row in read_metrics(tmp_path / "run"))
