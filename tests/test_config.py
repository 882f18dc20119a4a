"""Configs: the published defaults and sizes, how settings are named and checked, and files."""

import json
from dataclasses import replace
from operator import attrgetter

import pytest

from reverie.config import (
    ELSEWHERE,
    SHORT,
    WIDTHS,
    BehaviourConfig,
    Config,
    ModelConfig,
    OptimizerConfig,
    ReplayConfig,
    RunConfig,
    config_from_dict,
    config_to_dict,
    differences,
)
from reverie.config.bound import bound_of
from reverie.config.config import _hints
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


def test_config_round_trips_through_json():
    config = Config(seed=3, replay=ReplayConfig(batch=4))
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_every_number_has_a_bound():
    unbounded = [path for path, hint in _hints(Config).items() if bound_of(hint) is None]
    assert all(isinstance(dict(flat(config_to_dict(Config())))[path], str | bool | tuple) for path in unbounded)


def flat(data, prefix=""):
    for name, value in data.items():
        yield from flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(prefix + name, value)]


def test_settings_have_the_names_of_the_command_line():
    config = Config.of(train_ratio=32, **{"optimizer.learning_rate": 1e-4, "replay-memory": "8GiB"})
    run, optimizer = RunConfig(train_ratio=32.0), OptimizerConfig(learning_rate=1e-4)
    assert config == Config(run=run, optimizer=optimizer, replay=ReplayConfig(memory="8GiB"))
    in_groups = Config.of(run={"train_ratio": 32}, optimizer={"learning_rate": 1e-4})
    assert config == in_groups.override(replay_memory="8GiB")
    assert set(SHORT.values()) <= set(_hints(Config))


def test_a_size_sets_widths_that_other_settings_override():
    config = Config.of(**{"model.units": 32}, size="size12m")
    assert config.model == replace(SIZES["size12m"], units=32)
    assert set(WIDTHS["size12m"]) == {"deter", "hidden", "classes", "depth", "units"}


def test_numbers_take_the_type_of_their_setting():
    run = Config.of(steps=1e6, train_ratio=8).run
    assert (type(run.steps), type(run.train_ratio)) == (int, float)
    assert type(Config(run=RunConfig(train_ratio=8)).run.train_ratio) is float


def test_repr_shows_what_differs_from_the_defaults():
    config = Config.of(train_ratio=32, size="size12m", **{"optimizer.learning_rate": 1e-4, "model.groups": 8})
    expected = "Config.of(size='size12m', train_ratio=32.0, **{'model.groups': 8, 'optimizer.learning_rate': 0.0001})"
    assert repr(config) == expected
    assert eval(expected) == config
    assert repr(Config()) == "Config.of()"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"modle": {}}, "There is no setting 'modle'"),
        ({"learning_rate": 1}, "did you mean 'optimizer.learning_rate'?"),
        ({"lr": 1}, "There is no setting 'lr' \\(did you mean 'optimizer.learning_rate'"),
        ({"replay": {"batch_size": 1}}, "did you mean 'replay.batch'"),
        ({"train_ration": 1}, "did you mean 'train_ratio'?"),
        ({"run": {"stepz": 1}}, "There is no setting 'run.stepz' \\(did you mean 'steps'"),
        ({"size": "size2m"}, "size must be one of size1m, size12m"),
        ({"model": {"units": "many"}}, "model.units must be an integer, got 'many'"),
        ({"model": {"compute_dtype": "float8"}}, "must be one of 'auto', 'float32', 'bfloat16', got 'float8'"),
        ({"wandb": "\udcff"}, "run.wandb must be a text in UTF-8, got "),
        ({"keys": 3}, "env.keys must be a text in UTF-8, got 3"),
        ({"model.encoders": ["a=b", 1]}, "model.encoders must be a list of texts in UTF-8"),
        ({"run": {"steps": True}}, "run.steps must be an integer, got True"),
        ({"steps": 1.5}, "run.steps must be an integer, got 1.5"),
        ({"model": 3}, "model is a group of settings"),
        ({"behaviour": {"percentiles": ["a", "b"]}}, "must be a list of 2 finite numbers"),
        ({"behaviour.percentiles": (5.0, float("nan"))}, "must be a list of 2 finite numbers"),
        ({"behaviour.percentiles": (5.0,)}, "must be a list of 2 finite numbers"),
        ({"train_ratio": float("inf")}, "run.train_ratio must be a finite number, got inf"),
        ({"optimizer.learning_rate": float("nan")}, "must be a finite number, got nan"),
        ({"loss.rew": 1e300}, "must be a finite number, got 1e[+]300"),
        ({"loss.rew": 10**400}, "must be a finite number, got 1000"),
        ({"replay_capacity": 10**21}, r"replay.capacity must be at most 2\^53"),
        ({"seed": 10**20}, "seed must be between 0 and 2147483647"),
        ({"seed": -1}, "seed must be between 0 and 2147483647"),
        ({"env.timeout": 1e9}, "env.timeout must be between 0.001 and"),
    ],
)
def test_errors_name_the_setting_and_what_it_may_be(settings, message):
    with pytest.raises(ValueError, match=message):
        Config.of(**settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed must be between 0 and"),
        ({"replay": ReplayConfig(batch=0)}, "replay.batch must be between 1 and 65536, got 0"),
        ({"model": ModelConfig(deter=100)}, r"model.deter \(100\) must be a multiple of model.blocks \(8\)"),
        ({"optimizer": OptimizerConfig(decay_rms=1.0)}, "optimizer.decay_rms must be between 0 and"),
        ({"optimizer": OptimizerConfig(clip=0)}, "optimizer.clip must be at least"),
        ({"behaviour": BehaviourConfig(percentiles=(95.0, 5.0))}, "behaviour.percentiles must be two numbers"),
        ({"replay": ReplayConfig(capacity=10)}, r"replay.capacity \(10\) must hold at least one sequence of 65"),
    ],
)
def test_impossible_values_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(Config(), **change)


def test_differences_are_named_and_can_be_left_out():
    one, other = Config(), replace(Config(), seed=1, model=ModelConfig(units=32))
    assert differences(one, other) == {"model.units": (64, 32), "seed": (0, 1)}
    assert differences(one, other, ignore=("model.",)) == {"seed": (0, 1)}


def test_config_round_trips_through_a_file(tmp_path):
    config = Config.of(seed=3, steps=7, keys="(?!mission$).*: é\n", wandb="on", **{"model.encoders": ["a=b", "c=d"]})
    config.to_file(tmp_path / "config.yaml")
    assert Config.from_file(tmp_path / "config.yaml") == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_a_file_may_name_some_settings_as_the_command_line_does(tmp_path):
    file = tmp_path / "run.yaml"
    file.write_text("size: size12m\ntrain-ratio: 32\noptimizer:\n  learning_rate: 1e-4\nrun.steps: 1e6\n")
    expected = Config.of(size="size12m", train_ratio=32, steps=1_000_000, optimizer={"learning_rate": 1e-4})
    assert Config.from_file(file) == expected
    file.write_text("")
    assert Config.from_file(file) == Config()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"- 1\n- 2\n", "must map names of settings to values"),
        (b"run: [1", "is not valid YAML"),
        (b"\xff\xfe\x00", "is not valid YAML"),
        (b"run:\n  steps: !!python/object/apply:os.system [ls]", "is not valid YAML"),
        (b"steps: no", "run.steps must be an integer, got False"),
    ],
)
def test_a_file_that_is_no_config_is_named(tmp_path, content, message):
    if content is not None:
        (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Config.from_file(tmp_path / "run.yaml")


def test_names_of_other_libraries_lead_to_settings():
    for name, ours in ELSEWHERE.items():
        with pytest.raises(ValueError, match=f"did you mean '{ours}'"):
            Config.of(**{name: 1})
        assert attrgetter(SHORT.get(ours, ours))(Config()) is not None
