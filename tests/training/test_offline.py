"""Training on recorded episodes: without an environment, or before one is stepped."""

import json
import re
from dataclasses import replace

import gymnasium as gym
import jax
import numpy as np
import pytest

from reverie.cli import main
from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.datasets import DatasetError, Episode, create_dataset, open_dataset
from reverie.errors import InputError
from reverie.replay import read_run
from reverie.spaces import Spaces
from reverie.training import Trainer, evaluate, train

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=4, train_ratio=4, log_every=0, tensorboard=False, dream_every=0),
)
CARTPOLE = "CartPole-v1"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Ten episodes of an untrained agent."""
    folder = tmp_path_factory.mktemp("datasets") / "cartpole"
    agent = train(CARTPOLE, replace(TINY, run=replace(TINY.run, train_ratio=0)), quiet=True)
    evaluate(agent, CARTPOLE, episodes=10, record=folder)
    return folder


def offline(dataset, **run) -> Config:
    return replace(
        TINY,
        replay=replace(TINY.replay, dataset=str(dataset)),
        env=replace(TINY.env, mode="offline"),
        run=replace(TINY.run, **run),
    )


def total(dataset) -> int:
    """The records of all episodes."""
    opened = open_dataset(dataset)
    return sum(len(episode.rewards) + 1 for _, episode in opened.episodes(opened.spaces))


def same(ours, theirs) -> bool:
    return all(
        np.array_equal(x, y)
        for x, y in zip(*(jax.tree.leaves(agent.networks) for agent in (ours, theirs)), strict=True)
    )


def test_each_step_offline_is_an_update_and_a_resumed_run_continues_exactly(dataset, tmp_path):
    trainer = Trainer(CARTPOLE, offline(dataset, steps=6), logdir=tmp_path / "whole", quiet=True)
    whole = trainer.run()
    trainer.close()
    assert (trainer.env_steps, trainer.updates, len(trainer.loop.replay)) == (6, 6, total(dataset))
    train(CARTPOLE, offline(dataset, steps=2), logdir=tmp_path / "parts", quiet=True)
    resumed = train(CARTPOLE, offline(dataset, steps=6), logdir=tmp_path / "parts", quiet=True)
    assert same(whole, resumed)
    assert sum(len(stream.reward) for stream in read_run(tmp_path / "parts")) == total(dataset)  # filled only once


def test_the_environment_only_evaluates(dataset, tmp_path):
    config = offline(dataset, eval_every=2, eval_episodes=1)
    evaluated = train(CARTPOLE, config, logdir=tmp_path / "run", quiet=True)
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "eval/return" in row] == [2, 4]
    assert same(evaluated, train(CARTPOLE, offline(dataset), quiet=True))


def test_a_dataset_comes_before_what_is_stepped(dataset):
    config = replace(TINY, replay=replace(TINY.replay, dataset=str(dataset)), run=replace(TINY.run, steps=20))
    trainer = Trainer(CARTPOLE, config, quiet=True)
    assert len(trainer.loop.replay) == total(dataset)
    trainer.run()
    trainer.close()
    assert len(trainer.loop.replay) >= total(dataset) + 20
    assert trainer.updates == 20 * 4 // 16 - 1  # from the first step on; what the last step earned stays due


def test_on_the_command_line_the_dataset_names_the_environment(dataset, tmp_path, capsys):
    widths = ("deter", "hidden", "classes", "units", "groups")
    flags = [f"--model.{name}={getattr(TINY.model, name)}" for name in widths]
    flags += ["--model.blocks=4", "--replay.batch=2", "--replay.length=8", "--envs=2", "--run.no-tensorboard"]
    flags += [f"--logdir={tmp_path / 'run'}", "--dream-every=0"]
    main(["train", "--dataset", str(dataset), "--updates=2", *flags])
    assert "CartPole-v1" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "run.json").read_text())["updates"] == 2


@pytest.mark.parametrize("flags", [[], ["--updates=2"], ["--dataset=nowhere"]])
def test_without_an_environment_or_a_dataset_there_is_a_sentence(flags, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", *flags])
    assert ended.value.code == 1
    assert re.search("Name an environment|no dataset in", capsys.readouterr().err)


def without(dataset, place, change):
    """A dataset with changed episodes."""
    opened = open_dataset(dataset)
    writer = create_dataset(place, opened.spaces)
    for _, episode in opened.episodes(opened.spaces):
        writer.add(change(episode))
    writer.close()
    return place


def test_without_rewards_the_world_model_is_trained_alone(dataset, tmp_path):
    silent = without(dataset, tmp_path / "silent", lambda episode: episode._replace(rewards=None))
    with pytest.raises(DatasetError, match="has no rewards.*--loss.rew 0 --loss.policy 0 --loss.value 0"):
        train(CARTPOLE, offline(silent), quiet=True)
    config = offline(silent)
    config = replace(config, loss=replace(config.loss, rew=0, policy=0, value=0, repval=0))
    before = Trainer(CARTPOLE, config, quiet=True)
    actor = jax.tree.map(np.array, jax.tree.leaves(before.agent.networks.actor))
    before.close()
    trained = train(CARTPOLE, config, quiet=True)
    assert all(np.array_equal(x, y) for x, y in zip(actor, jax.tree.leaves(trained.networks.actor), strict=True))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda episode: episode._replace(observations=episode.observations * np.nan), "episode_000000.*nan"),
        (lambda episode: episode._replace(rewards=episode.rewards[:-1]), "episode_000000.*must have"),
    ],
)
def test_a_bad_episode_is_named(dataset, tmp_path, change, words):
    bad = without(dataset, tmp_path / "bad", change)
    with pytest.raises(DatasetError, match=words):
        train(CARTPOLE, offline(bad), quiet=True)


def test_what_can_not_be_trained_on_is_refused(tmp_path):
    with pytest.raises(InputError, match="nothing to train on"):
        train(CARTPOLE, replace(TINY, env=replace(TINY.env, mode="offline")), quiet=True)
    spaces = Spaces.from_env(gym.make(CARTPOLE))
    writer = create_dataset(tmp_path / "short", spaces)
    writer.add(Episode(np.zeros((3, 4), np.float32), np.zeros(2, int), np.zeros(2), True, False))
    writer.close()
    with pytest.raises(DatasetError, match="too small"):
        train(CARTPOLE, offline(tmp_path / "short"), quiet=True)
