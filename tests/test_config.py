"""Configs: the published sizes, checks, and the way to JSON and back."""

import json
from dataclasses import replace

import pytest

from reverie.config import (
    BehaviourConfig,
    Config,
    EnvConfig,
    ModelConfig,
    OptimizerConfig,
    ReplayConfig,
    config_from_dict,
    config_to_dict,
    differences,
)
from reverie.presets import SIZES


def test_the_defaults_are_the_published_ones():
    config = Config()
    assert config.model == SIZES["size1m"] == ModelConfig(512, 64, 4, 4, 64)
    assert (config.replay.batch, config.replay.length, config.replay.capacity) == (16, 64, 5_000_000)
    assert (config.optimizer.learning_rate, config.optimizer.warmup, config.optimizer.clip) == (4e-5, 1000, 0.3)
    assert config.behaviour.discount == 1 - 1 / 333
    assert (config.loss.dyn, config.loss.rep, config.loss.repval) == (1.0, 0.1, 0.3)


def test_sizes_are_those_of_the_table():
    table = {name: (m.deter, m.hidden, m.classes, m.depth, m.units) for name, m in SIZES.items()}
    assert table == {
        "size1m": (512, 64, 4, 4, 64),
        "size12m": (2048, 256, 16, 16, 256),
        "size25m": (3072, 384, 24, 24, 384),
        "size50m": (4096, 512, 32, 32, 512),
        "size100m": (6144, 768, 48, 48, 768),
        "size200m": (8192, 1024, 64, 64, 1024),
        "size400m": (12288, 1536, 96, 96, 1536),
    }


def test_json_and_back():
    config = Config(seed=3, replay=ReplayConfig(batch=4))
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"modle": {}}, "config has no field 'modle'"),
        ({"model": {"units": "many"}}, "config.model.units should be an integer, got 'many'"),
        ({"model": {"compute_dtype": "float8"}}, "should be one of 'auto', 'float32', 'bfloat16'"),
        ({"run": {"steps": True}}, "config.run.steps should be an integer, got True"),
        ({"model": 3}, "config.model should be an object"),
        ({"behaviour": {"percentiles": ["a", "b"]}}, "should be a list of numbers"),
    ],
)
def test_what_does_not_fit_is_named(data, message):
    with pytest.raises(ValueError, match=message):
        config_from_dict(data)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed must be between 0 and"),
        ({"replay": ReplayConfig(batch=0)}, "replay.batch must be at least 1, got 0"),
        ({"model": ModelConfig(deter=100)}, r"model.deter \(100\) must be a multiple of model.blocks \(8\)"),
        ({"optimizer": OptimizerConfig(decay_rms=1.0)}, "optimizer.decay_rms must be between 0 and"),
        ({"optimizer": OptimizerConfig(clip=0)}, "optimizer.clip must be at least"),
        ({"behaviour": BehaviourConfig(percentiles=(95.0, 5.0))}, "behaviour.percentiles must be two numbers"),
        ({"replay": ReplayConfig(capacity=10)}, r"replay.capacity \(10\) must hold one sequence of 65"),
    ],
)
def test_impossible_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(Config(), **change)


def test_differences_are_named_and_can_be_left_out():
    one, other = Config(), replace(Config(), seed=1, model=ModelConfig(units=32))
    assert differences(one, other) == {"model.units": (64, 32), "seed": (0, 1)}
    assert differences(one, other, ignore=("model.",)) == {"seed": (0, 1)}


@pytest.mark.parametrize(("processes", "mode"), [(True, "parallel"), (False, "serial")])
def test_an_earlier_versions_processes_are_a_mode(processes, mode):
    data = config_to_dict(Config())
    env = {name: value for name, value in data["env"].items() if name != "mode"}
    read = config_from_dict({**data, "env": {**env, "processes": processes}})
    assert read == replace(Config(), env=EnvConfig(mode=mode))
