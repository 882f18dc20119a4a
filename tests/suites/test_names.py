"""Names of suites, their settings, and what is said where their packages are missing."""

import sys

import pytest

from reverie.config import Config, RunConfig
from reverie.envs import make_env
from reverie.envs.make import MissingDependencyError
from reverie.envs.suites import SUITES, suite_of
from reverie.presets import SUITES as PRESETS
from reverie.presets import for_suite


@pytest.mark.parametrize(
    ("name", "suite"),
    [
        ("atari/pong", "atari"),
        ("atari100k/pong", "atari100k"),
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


def test_every_preset_is_that_of_a_suite():
    assert set(PRESETS) <= set(SUITES)


def test_a_suite_sets_what_was_left_at_its_default():
    config = for_suite("atari100k", Config())
    assert (config.run.train_ratio, config.run.steps, config.env.envs) == (256, 100_000, 1)
    assert config.model == Config().model
    chosen = for_suite("atari100k", Config(run=RunConfig(steps=7, train_ratio=32)))
    assert (chosen.run.train_ratio, chosen.run.steps, chosen.env.envs) == (32, 7, 1)
    assert for_suite(None, Config()) == for_suite("minigrid", Config()) == Config()


def test_a_missing_package_is_named_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "crafter", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "reverie.envs.suites.crafter", raising=False)
    with pytest.raises(MissingDependencyError, match=r'run `pip install "reverie\[crafter\]"`'):
        make_env("crafter")
