"""Folders of runs: one that trained a little, and one that is only described."""

import json
from pathlib import Path

import pytest

from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.training import train

TINY = Config(
    model=ModelConfig(deter=16, hidden=8, classes=4, depth=2, units=16, groups=4, blocks=4),
    behaviour=BehaviourConfig(imagination_length=3),
    replay=ReplayConfig(batch=2, length=8),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=60, train_ratio=0, log_every=0, tensorboard=False),
)


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A folder to read only; its run is `nested/pixels`."""
    folder = tmp_path_factory.mktemp("trained")
    train("reverie/Catch-v0", TINY, logdir=folder / "nested" / "pixels", quiet=True)
    films = folder / "nested" / "pixels" / "dreams"
    films.mkdir()
    (films / "old.png").write_bytes(b"\x89PNG old")
    (films / "notes.txt").write_text("no film")
    return folder


@pytest.fixture
def written(tmp_path) -> Path:
    """A folder to write to, with the description of a run in `a`, and a secret file next to the folder."""
    run = tmp_path / "runs" / "a"
    run.mkdir(parents=True)
    config = {"model": {"deter": 16, "groups": 4, "classes": 4, "units": 16}, "run": {"steps": 100}}
    (run / "agent.json").write_text(json.dumps({"format": 2, "env": "CartPole-v1", "config": config, "spaces": {}}))
    (tmp_path / "secret.png").write_text("secret")
    return tmp_path / "runs"
