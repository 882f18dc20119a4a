"""The list of runs: their state, their groups, and damaged runs, which never hide the others."""

import fcntl
import json
import os
from pathlib import Path

import pytest

from reverie.dashboard import state
from reverie.dashboard.groups import differing, flattened, labels
from reverie.dashboard.runs import find_runs
from reverie.dashboard.state import RECENT, SILENT, State, is_locked, state_of

MODEL = {"deter": 16, "groups": 4, "classes": 4, "units": 16}


def describe(folder: Path, *, env: object = "x", model: object = MODEL, steps: object = 100, **config) -> Path:
    folder.mkdir(parents=True)
    description = {"env": env, "config": {"model": model, "run": {"steps": steps}} | config}
    (folder / "agent.json").write_text(json.dumps(description))
    return folder


def damage(folder: Path, kind: str) -> None:
    file = folder / "agent.json"
    text = {"half": '{"form', "list": "[]", "empty": "{}", "nothing": "", "deep": '{"env":' * 10_000}
    bytes_ = {"binary": b"\xff\xfe\x00", "surrogates": b'{"env": "\\ud800", "config": {"model": 1}}'}
    if kind in text:
        file.write_text(text[kind])
    elif kind in bytes_:
        file.write_bytes(bytes_[kind])
    elif kind == "sparse":
        with file.open("wb") as sparse:
            sparse.truncate(2**40)
    elif kind == "directory":
        file.unlink()
        file.mkdir()
    elif kind == "fifo":
        file.unlink()
        os.mkfifo(file)
    elif kind == "loop":
        file.unlink()
        file.symlink_to(file)
    elif kind == "fifo for metrics":
        os.mkfifo(folder / "metrics.jsonl")


DAMAGES = ["half", "list", "empty", "nothing", "deep", "binary", "surrogates", "sparse", "directory", "fifo", "loop"]


@pytest.mark.parametrize("kind", [*DAMAGES, "fifo for metrics"])
def test_a_damaged_run_is_listed_with_what_is_wrong(tmp_path, kind):
    describe(tmp_path / "good")
    damage(describe(tmp_path / "bad"), kind)
    runs = {run["id"]: run for run in find_runs(tmp_path)}
    assert runs["good"]["problem"] is None
    assert runs["bad"]["state"] == "damaged"
    assert runs["bad"]["problem"].endswith(".")
    json.dumps(list(runs.values()), ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"env": 5},
        {"env": ["x"]},
        {"model": 1},
        {"model": MODEL | {"deter": "16"}},
        {"model": MODEL | {"deter": 10**400}},
        {"env": "\ud800"},
        {"steps": None},
        {"steps": -1},
        {"steps": True},
        {"steps": 1e300},
    ],
)
def test_wrong_types_and_sizes_are_told(tmp_path, changes):
    describe(tmp_path / "bad", **changes)
    (run,) = find_runs(tmp_path)
    assert "agent.json" in run["problem"]


def test_names_are_printable(tmp_path):
    describe(tmp_path / "run", env="\x1b[31m\u202e", extra={"\x1b": ["\x07" * 1000, 10**400]})
    describe(tmp_path / "bad\x1bname")
    runs = find_runs(tmp_path)
    assert {run["id"] for run in runs} == {"run", r"bad\x1bname"}
    assert json.dumps(runs, ensure_ascii=False).isprintable()
    assert [run["env"] for run in runs if run["env"]] == [r"\x1b[31m\u202e"]
    assert any(run["problem"] and "rename the folder" in run["problem"] for run in runs)


def test_the_list_tells_how_far_a_run_is(tmp_path):
    folder = describe(tmp_path / "run")
    (folder / "metrics.jsonl").write_text('{"step": 7}\n{"step": 40, "x": 1}\n[]\n{"step": tru')
    (folder / "checkpoints").mkdir()
    for name in ("000000000030.json", "000000000050.json", "x.json", "²9.json", "9" * 200 + ".json"):
        (folder / "checkpoints" / name).touch()
    (run,) = find_runs(tmp_path)
    assert (run["step"], run["steps"], run["checkpoint"]) == (40, 100, 50)


@pytest.mark.parametrize(
    ("locked", "done", "quiet", "expected"),
    [
        (True, False, 1, State.LIVE),
        (True, True, 1, State.LIVE),  # it still writes its last checkpoint
        (True, False, SILENT + 1, State.SILENT),
        (False, True, 1, State.FINISHED),
        (False, False, RECENT + 1, State.INTERRUPTED),
        (False, False, 1, State.LIVE),  # perhaps on another machine
        (None, False, RECENT + 1, State.LIVE),
        (None, False, SILENT + 1, State.INTERRUPTED),
        (None, True, 1, State.FINISHED),
    ],
)
def test_the_state_follows_from_the_lock_and_the_rows(tmp_path, monkeypatch, locked, done, quiet, expected):
    monkeypatch.setattr(state, "is_locked", lambda path: locked)
    assert state_of(tmp_path, done=done, quiet=quiet) == expected


@pytest.mark.parametrize(
    ("status", "host", "quiet", "expected"),
    [
        ("finished", "x", 1, State.FINISHED),
        ("interrupted", "x", 1, State.INTERRUPTED),
        ("failed", "x", 1, State.FAILED),
        ("running", "here", RECENT + 1, State.INTERRUPTED),  # it was killed
        ("running", "elsewhere", RECENT + 1, State.LIVE),
        ("running", "elsewhere", SILENT + 1, State.SILENT),
        ([], "here", SILENT + 1, State.FINISHED),  # damaged: the rows decide
    ],
)
def test_the_state_is_what_the_run_wrote(tmp_path, monkeypatch, status, host, quiet, expected):
    monkeypatch.setattr(state, "is_locked", lambda path: False)
    monkeypatch.setattr(state.socket, "gethostname", lambda: "here")
    (tmp_path / "run.json").write_text(json.dumps({"status": status, "host": host}))
    assert state_of(tmp_path, done=not isinstance(status, str), quiet=quiet) == expected


@pytest.mark.skipif(not state.LOCKS.exists(), reason="needs Linux")
def test_a_lock_is_seen_without_taking_it(tmp_path):
    path = tmp_path / ".lock"
    assert is_locked(path) is False
    with path.open("w") as file:
        assert is_locked(path) is False
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert is_locked(path) is True
    assert is_locked(path) is False


def test_where_locks_are_not_listed_nobody_knows(tmp_path, monkeypatch):
    monkeypatch.setattr(state, "LOCKS", tmp_path / "nowhere")
    assert is_locked(tmp_path / ".lock") is None


def test_groups_are_environments_and_settings_but_not_seeds(tmp_path):
    for name, seed, units, env in (("a/0", 0, 16, "x"), ("a/1", 1, 16, "x"), ("b/0", 0, 32, "x"), ("c", 5, 64, "y")):
        describe(tmp_path / name, env=env, model=MODEL | {"units": units}, seed=seed)
    runs = {run["id"]: run for run in find_runs(tmp_path)}
    assert {name: run["group"] for name, run in runs.items()} == {
        "a/0": "model.units 16",
        "a/1": "model.units 16",
        "b/0": "model.units 32",
        "c": "default",
    }
    assert {name: run["folder"] for name, run in runs.items()} == {"a/0": "a", "a/1": "a", "b/0": "b", "c": "."}
    assert runs["b/0"]["settings"] == {"model.units": "32", "seed": "0"}


def test_settings_that_do_not_change_learning_do_not_part_groups():
    plain = flattened({"seed": 0, "run": {"steps": 5, "train_ratio": 1}, "env": {"mode": "serial"}})
    longer = flattened({"seed": 1, "run": {"steps": 9, "train_ratio": 1}, "env": {"mode": "parallel"}})
    other = flattened({"seed": 1, "run": {"steps": 9, "train_ratio": 2}, "env": {"mode": "parallel"}})
    assert differing([plain, longer]) == ["env.mode", "run.steps", "seed"]
    assert labels([("x", plain), ("x", longer)]) == ["default", "default"]
    assert labels([("x", plain), ("x", other)]) == ["run.train_ratio 1", "run.train_ratio 2"]
    assert labels([("x", plain), ("y", other)]) == ["default", "default"]
