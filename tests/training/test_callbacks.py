"""Callbacks: called for each event, they add metrics and stop the run."""

from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest

from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.errors import InputError
from reverie.training import Callback, Trainer, train
from reverie.training.callbacks import Callbacks, Run
from reverie.training.metrics import read_metrics
from reverie.training.run_file import read_run_file

ENV = "reverie/CatchVector-v0"
TINY = Config(  # the same as in test_trainer.py, whose compiled programs serve here too
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=120, train_ratio=4, log_every=0, dream_every=0, tensorboard=False),
)


class Counts(Callback):
    """Counts its calls; records a metric with each row, and one with each episode."""

    def __init__(self):
        self.steps, self.updates, self.episodes, self.rows, self.ends = 0, 0, 0, 0, 0

    def on_step(self, run):
        self.steps += 1

    def on_episode(self, run, episode):
        self.episodes += 1
        run.record("mine/length", episode.length)

    def on_update(self, run, output):
        self.updates += 1
        assert output.metrics["opt/loss"].shape == ()

    def on_log(self, run, row):
        self.rows += 1
        run.record("mine/double", 2 * row["updates"])

    def on_end(self, run):
        self.ends += 1
        assert isinstance(run, Run)


def test_every_event_is_told_and_numbers_become_metrics(tmp_path):
    counts = Counts()
    trainer = Trainer(ENV, TINY, logdir=tmp_path / "run", quiet=True)
    trainer.run(callbacks=[counts])
    trainer.close()
    rows = [row for row in read_metrics(tmp_path / "run") if "updates" in row]
    assert counts.steps == pytest.approx(TINY.run.steps * 8 / 7 / TINY.env.envs, abs=2)  # an episode has 8 records
    assert (counts.updates, counts.episodes) == (trainer.updates, trainer.episodes.count)
    assert (counts.rows, counts.ends) == (len(rows), 1)
    assert all(row["mine/double"] == 2 * row["updates"] for row in rows)
    assert {row["mine/length"] for row in rows if "mine/length" in row} == {7}


class Stops:
    """Any object with a method of a callback is one."""

    def on_update(self, run, output):
        if run.updates == 2:
            run.stop("enough")


def test_a_callback_may_stop_the_run_which_is_finished_then(tmp_path):
    train(ENV, TINY, logdir=tmp_path / "run", quiet=True, callbacks=[Stops()])
    written = read_run_file(tmp_path / "run")
    assert (written["status"], written["reason"], written["updates"]) == ("finished", "enough", 2)


def test_until_is_short_for_a_callback(tmp_path):
    train(ENV, TINY, logdir=tmp_path / "run", quiet=True, until=lambda run: run.updates >= 2)
    assert read_run_file(tmp_path / "run")["reason"] == "the condition 'until' was met"


class Misspelled(Callback):
    def on_epsiode(self, run, episode):
        """Never called."""


@pytest.mark.parametrize("wrong", [Misspelled(), Stops, object()])
def test_what_is_no_callback_is_refused(wrong):
    with pytest.raises(InputError, match="A callback is an object with some of the methods on_step, on_episode"):
        Callbacks([wrong])


class Informed(gym.Env):
    """Episodes of 5 steps; says at the end how it went."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (4,)), gym.spaces.Discrete(3)
    episodes = 0

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return np.zeros(4, np.float32), {}

    def step(self, action):
        self.time += 1
        self.episodes += self.time == 5
        info = {"success": self.episodes % 2 == 0, "score": 3, "episode": {"r": 1.0}, "name": "x"}
        return np.zeros(4, np.float32), 1.0, False, self.time == 5, info if self.time == 5 else {}


def test_numbers_of_finished_episodes_infos_become_metrics(tmp_path):
    rarely = replace(TINY, run=replace(TINY.run, log_every=1e9))
    train(Informed(), rarely, steps=20, logdir=tmp_path / "run", quiet=True)
    (row,) = [row for row in read_metrics(tmp_path / "run") if "episode/info/score" in row]
    found = {name: value for name, value in row.items() if name.startswith("episode/info/")}
    assert found == {"episode/info/score": 3, "episode/info/success": 0.5}  # four episodes
