"""Metrics: all are documented, all loggers get them, and a failing logger does not end training."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

from reverie.config import BehaviourConfig, Config, EnvConfig, ModelConfig, ReplayConfig, RunConfig
from reverie.training import train
from reverie.training.metrics import JsonLines, MetricsWriter, read_metrics
from reverie.training.tensorboard import TensorBoard

ROOT = Path(__file__).parents[2]
TINY = Config(
    model=ModelConfig(deter=8, hidden=4, classes=4, depth=2, units=8, groups=2, blocks=2),
    behaviour=BehaviourConfig(imagination_length=2),
    replay=ReplayConfig(batch=2, length=6),
    env=EnvConfig(envs=2),
    run=RunConfig(steps=50, train_ratio=2, log_every=0, tensorboard=False),
)
ELSEWHERE = {"memory/device_bytes", "episode/info/NAME"}  # only on accelerators, and of environments with such infos


def documented() -> list[str]:
    """The names in the first column of the table."""
    lines = (ROOT / "docs" / "metrics.md").read_text().splitlines()
    first = [line.split("|")[1] for line in lines if line.startswith("| `")]
    return [name for cell in first for name in re.findall(r"`([^`]+)`", cell)]


def matches(name: str, metric: str) -> bool:
    pattern = re.escape(name).replace("KEY", ".+").replace("NAME", ".+").replace("HORIZON", "(1|2|4|8|16|32)")
    return re.fullmatch(pattern, metric) is not None


def test_every_metric_of_a_run_is_described_and_every_description_is_of_one(tmp_path):
    run, env = replace(TINY.run, eval_every=20, eval_episodes=2), replace(TINY.env, action_repeat=2)
    train("CartPole-v1", replace(TINY, run=run, env=env), logdir=tmp_path / "run", quiet=True)
    rows = read_metrics(tmp_path / "run")
    written = {name for row in rows for name in row} - {"step", "time"}
    names = documented()
    assert len(names) == len(set(names))
    assert {metric for metric in written if not any(matches(name, metric) for name in names)} == set()
    assert {name for name in names if not any(matches(name, metric) for metric in written)} <= ELSEWHERE
    assert all(10**7 < row["memory/host_bytes"] < 10**12 for row in rows if "memory/host_bytes" in row)


def test_tensorboard_holds_what_was_written(tmp_path):
    for resume_step in (None, 2):
        board = TensorBoard(tmp_path / str(resume_step), resume_step)
        board.write(3, {"a/b": 1.5, "c": float("nan")})
        board.flush()
        board.close()
        (file,) = (tmp_path / str(resume_step)).iterdir()
        assert b"a/b" in file.read_bytes()
        assert b"brain.Event:2" in file.read_bytes()


def test_tensorboard_goes_on_in_another_file_after_a_failure(tmp_path):
    board = TensorBoard(tmp_path, None)
    board.write(1, {"a": 1.0})
    board._events._py_recordio_writer._writer.close()  # writing fails, as on a full disk
    with pytest.raises(ValueError, match="closed file"):
        board.write(2, {"lost": 2.0})
    board.write(3, {"found": 3.0})
    board.close()
    assert sum(b"found" in file.read_bytes() for file in tmp_path.iterdir()) == 1
    assert len(list(tmp_path.iterdir())) == 2


class Broken:
    """Fails a given number of times."""

    name = "the paper in the attic"

    def __init__(self, failures: int):
        self.failures, self.rows = failures, list[int]()

    def write(self, step, values):
        if self.failures:
            self.failures -= 1
            raise RuntimeError("out of ink")
        self.rows.append(step)

    def flush(self):
        if self.failures:
            raise RuntimeError("out of ink")

    def close(self):
        raise RuntimeError("it burns")


def test_a_logger_that_fails_is_told_of_once_and_the_others_go_on(tmp_path):
    told, broken = list[str](), Broken(2)
    writer = MetricsWriter([broken, JsonLines(tmp_path, 0)], told.append)
    for step in (1, 2, 3):
        writer.write(step, {"a": 1.0})
        writer.flush()
    assert told == ["metrics can't be written to the paper in the attic (out of ink); training continues."]
    assert broken.rows == [3]
    writer.close()
    assert len(told) == 2  # it had recovered in between
    assert [row["step"] for row in read_metrics(tmp_path)] == [1, 2, 3]


def test_a_logger_that_can_not_begin_is_left_out(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise ConnectionError("nobody answers")

    monkeypatch.setattr("reverie.training.tensorboard.TensorBoard.__init__", refuse)
    config = replace(TINY, run=replace(TINY.run, tensorboard=True, train_ratio=0, steps=10))
    train("CartPole-v1", config, logdir=tmp_path / "run")
    assert "TensorBoard can't be used (nobody answers)" in capsys.readouterr().out.replace("\n", " ")
    assert read_metrics(tmp_path / "run")


def test_weights_and_biases_that_is_not_installed_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = replace(TINY, run=replace(TINY.run, wandb="project"))
    with pytest.raises(ValueError, match="pip install 'reverie\\[wandb\\]'"):
        train("CartPole-v1", config, logdir=tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


SCRIPT = """
import sys
from dataclasses import replace
sys.path.insert(0, {tests!r})
from test_metrics import TINY
from reverie.training import train
run = replace(TINY.run, wandb="project", train_ratio=0, steps=int(sys.argv[1]), dream_every=0)
train("CartPole-v1", replace(TINY, run=run), logdir=sys.argv[2], quiet=True)
"""


@pytest.mark.suite
@pytest.mark.skipif(find_spec("wandb") is None, reason="Weights & Biases is not installed: reverie[wandb]")
def test_a_continued_run_is_one_run_of_weights_and_biases(tmp_path):
    """With the real package, offline, in separate processes."""
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    for steps in ("20", "40"):
        part = subprocess.run(
            [sys.executable, "-c", script, steps, str(tmp_path / "run")],
            capture_output=True,
            text=True,
            timeout=300,
            env=os.environ | {"WANDB_MODE": "offline", "PYTHONPATH": str(ROOT / "src")},
        )
        assert part.returncode == 0, part.stderr
        assert "Weights" not in part.stdout
    known = json.loads((tmp_path / "run" / "wandb.json").read_text())
    parts = [path.name for path in (tmp_path / "run" / "wandb").glob("offline-run-*")]
    assert known["project"] == "project"
    assert len(parts) == 2
    assert all(name.endswith(f"-{known['id']}") for name in parts)
    written = b"".join(path.read_bytes() for path in (tmp_path / "run" / "wandb").glob("*/*.wandb"))
    assert b"replay/records" in written
    assert b"env_steps" in written
