"""Marks of a run's metrics, with constructed metrics of healthy and of sick runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie.config import Config, config_to_dict
from reverie.results import Run, write_report
from reverie.results.health import marks

CONFIG = Config.of(train_ratio=256, **{"replay.batch": 8, "replay.length": 32})
UPDATES = np.arange(20, 4001, 20.0)
SHARE = UPDATES / UPDATES[-1]

# Like the small CartPole runs: returns rise to 500, entropy falls with them, the critic follows its targets closely.
HEALTHY = {
    "updates": UPDATES,
    "loss/dyn": 1.1 + 0.02 * np.sin(UPDATES),
    "rand/action": np.maximum(0.04, 1 - 3 * SHARE),
    "adv": 0.05 + 0.5 * (1 - SHARE),
    "tar": 260 * SHARE,
    "val": np.maximum(0, 260 * SHARE - 5),
    "opt/skipped": np.zeros(len(UPDATES)),
}
RISING = 20 + 480 * np.linspace(0, 1, 80)
FLAT = 20 + 5 * np.sin(np.arange(80))


def write_run(path: Path, *, returns=RISING, config=CONFIG, pace=1.0, **changed) -> Path:
    """A run with one update per environment step, divided by `pace`."""
    path.mkdir(parents=True)
    (path / "agent.json").write_text(json.dumps({"env": "CartPole-v1", "config": config_to_dict(config)}))
    columns = HEALTHY | {name.replace("_", "/", 1): values for name, values in changed.items()}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    rows = [{"step": round(row["updates"] * pace) + 500, **row} for row in rows]
    rows += [{"step": 50 * (i + 1), "episode/return": value} for i, value in enumerate(returns)]
    (path / "metrics.jsonl").write_text(
        "".join(json.dumps(row) + "\n" for row in sorted(rows, key=lambda x: x["step"]))
    )
    return path


def warnings(path: Path) -> list[str]:
    return [mark.about for mark in marks(Run.read(path)) if mark.state == "warning"]


def test_a_healthy_run_has_no_warning(tmp_path):
    found = marks(Run.read(write_run(tmp_path / "run")))
    assert [mark.state for mark in found] == ["ok"] * 5
    assert not any(mark.todo for mark in found)


@pytest.mark.parametrize(
    ("changes", "warning"),
    [
        ({"rand_action": np.maximum(0.03, 1 - 10 * SHARE), "returns": FLAT}, "entropy of the policy"),
        ({"loss_dyn": np.full(len(UPDATES), 1.0005)}, "KL of the world model"),
        ({"pace": 2.0}, "train ratio"),
        ({"adv": np.full(len(UPDATES), 1.5), "tar": np.full(len(UPDATES), 100.0), "val": SHARE}, "critic"),
        ({"opt_skipped": np.where(UPDATES == 400, 3.0, 0.0)}, "non-finite updates"),
    ],
)
def test_each_sickness_is_marked_with_what_to_do(tmp_path, changes, warning):
    path = write_run(tmp_path / "run", **changes)
    assert warnings(path) == [warning]
    (mark,) = (mark for mark in marks(Run.read(path)) if mark.state == "warning")
    assert mark.todo.endswith((".", "?"))
    page = write_report(path).read_text()
    assert f"<b>{warning}</b>: " in page


@pytest.mark.parametrize(
    "changes",
    [
        {"rand_action": np.full(len(UPDATES), 0.01)},  # deterministic, and it has learned
        {"returns": FLAT, "rand_action": np.full(len(UPDATES), 0.99)},  # still exploring
        {"returns": FLAT[:20], "rand_action": np.full(len(UPDATES), 0.01)},  # too few episodes to say
        {"adv": np.full(len(UPDATES), 1.5)},  # rising fast: behind by little time
        {"config": replace(CONFIG, loss=replace(CONFIG.loss, free_nats=0)), "loss_dyn": np.zeros(len(UPDATES))},
        {"config": replace(CONFIG, run=replace(CONFIG.run, train_ratio=0)), "pace": 9.0},
    ],
)
def test_there_is_no_false_alarm(tmp_path, changes):
    assert warnings(write_run(tmp_path / "run", **changes)) == []


def test_a_run_that_has_hardly_begun_has_no_marks(tmp_path):
    path = write_run(tmp_path / "run")
    rows = [row for row in map(json.loads, (path / "metrics.jsonl").read_text().splitlines()) if row["step"] < 600]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert marks(Run.read(path)) == []
    assert "Health" not in write_report(path).read_text()


def test_a_run_of_continuous_actions_lacks_the_entropy_mark(tmp_path):
    path = write_run(tmp_path / "run")
    text = (path / "metrics.jsonl").read_text().replace("rand/action", "ent/action")
    (path / "metrics.jsonl").write_text(text)
    assert len(marks(Run.read(path))) == 4
