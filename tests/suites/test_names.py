"""Names of suites, their settings, and the error for missing packages."""

import sys

import pytest

from reverie.cli.parsing import parse
from reverie.config import Config, RunConfig
from reverie.envs import make_env
from reverie.envs.make import MissingDependencyError
from reverie.envs.suites import SUITES, suite_of
from reverie.presets import IN_JAX, for_suite
from reverie.presets import SUITES as PRESETS


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        ("atari/pong", "atari"),
        ("atari100k/pong", "atari100k"),
        ("bsuite/catch/0", "bsuite"),
        ("crafter", "crafter"),
        ("dmc/walker_walk", "dmc"),
        ("atari", None),  # which game?
        ("ALE/Pong-v5", None),
        ("CartPole-v1", None),
        ("gym/CartPole-v1", None),
        ("mine:make", None),
    ],
)
def test_a_name_begins_with_its_suite(name, suite):
    assert suite_of(name) == suite


def test_jax_suites_keep_replay_on_the_device():
    assert {name for name, suite in SUITES.items() if suite.jax} == IN_JAX
    config = for_suite("craftax", Config())
    assert (config.env.envs, config.replay.home) == (16, "device")


def test_every_preset_belongs_to_a_suite():
    assert set(PRESETS) <= set(SUITES)


def chosen(config: Config) -> tuple[float, int, int]:
    return config.run.train_ratio, config.run.steps, config.env.envs


def test_a_suite_sets_train_ratio_steps_and_environments():
    config = for_suite("atari100k", Config(seed=3))
    assert chosen(config) == (256, 100_000, 1)
    assert (config.model, config.seed) == (Config().model, 3)
    assert chosen(for_suite("bsuite", Config(run=RunConfig(steps=7)))) == (1024, 7, 1)  # one budget per task
    assert for_suite(None, Config()) == for_suite("minigrid", Config()) == Config()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["atari/pong"], (32, 50_000_000, 16)),
        (["CartPole-v1"], (512, 100_000, 4)),
        # Explicit flags win, even if they equal Reverie's default, and in any position.
        (["atari/pong", "--run.train-ratio", "512", "--run.steps=100000"], (512, 100_000, 16)),
        (["--env.envs", "4", "atari/pong"], (32, 50_000_000, 4)),
        (["atari/pong", "--envs", "2", "--steps", "7"], (32, 7, 2)),
        (["--logdir", "crafter", "CartPole-v1"], (512, 100_000, 4)),
    ],
)
def test_flags_override_the_suites_settings(arguments, expected):
    assert chosen(parse(["train", *arguments]).config) == expected


def test_help_shows_the_suites_settings(capsys):
    with pytest.raises(SystemExit):
        parse(["train", "dmc/walker_walk", "--help"])
    assert "(default: 1024.0; at least 0)" in " ".join(capsys.readouterr().out.split())


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "crafter", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "reverie.envs.suites.crafter", raising=False)
    with pytest.raises(MissingDependencyError, match=r'run `pip install "reverie\[crafter\]"`'):
        make_env("crafter")
