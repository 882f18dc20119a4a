"""The published curves that come with the package, and drawing runs over them."""

import csv
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reverie import cli
from reverie.config import Config, config_to_dict
from reverie.envs import suites
from reverie.evidence import all_tasks, find_task, overlays, published, task_of_run
from reverie.evidence.published import binned, keys
from reverie.evidence.tasks import SMALL, SOURCES
from reverie.presets import SIZES, SUITES
from reverie.results import curves, find_runs

SUITE_FILES = Path(suites.__file__).parent


def write_run(path: Path, returns, *, env="CartPole-v1", config=SMALL, every=100) -> Path:
    path.mkdir(parents=True)
    (path / "agent.json").write_text(json.dumps({"env": env, "config": config_to_dict(config)}))
    rows = [{"step": every * (i + 1), "episode/return": value} for i, value in enumerate(returns)]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_curve_is_what_the_data_says():
    curve = published("dmc_proprio", "dmc_walker_walk")
    assert (len(curve.frames), curve.frames[0], curve.budget, curve.mean[0]) == (24, 20416, 490_000, 65.777)
    assert curve.width == pytest.approx(490_000 / 24, abs=1)
    assert str(curve) == "dreamerv3, 5 seeds"


def test_every_curve_can_be_read():
    every = [published(*key) for key in keys()]
    assert len(every) == len(set(keys())) > 500
    for curve in every:
        assert np.all(np.diff(curve.frames) > 0.5 * curve.width)
        assert np.isfinite(curve.mean).all()
        assert np.array_equal(np.isnan(curve.std), curve.seeds == 1)


def test_curves_of_small_cartpole_are_those_of_its_episodes():
    """The means by 500 steps that docs/experiments.md has, from the same runs."""
    ours = find_task("small/cartpole")
    np.testing.assert_array_equal(np.round(ours.published().mean[:6]), [21, 26, 51, 117, 208, 274])
    np.testing.assert_array_equal(np.round(ours.published("reverie").mean[:6]), [21, 25, 59, 134, 204, 204])


def test_episodes_count_in_the_bin_in_which_they_end():
    ends = np.array([100.0, 200.0, 400.0])  # the bin from 200 to 300 has no score
    found = binned(np.array([1.0, 100.0, 101.0, 250.0, 400.0, 401.0]), np.arange(6.0), ends, 100.0)
    np.testing.assert_array_equal(found, [0.5, 2.0, 4.0])


def test_tasks_have_the_settings_of_the_paper():
    for name, task in all_tasks().items():
        suite = name.partition("/")[0]
        assert task.published().budget == task.budget
        if suite in SOURCES:
            assert task.config.model == SIZES[SUITES[suite].size]
            assert task.config.run.train_ratio == SUITES[suite].train_ratio
    assert len(all_tasks()) == 57 + 26 + 18 + 20 + 16 + 2
    assert find_task("atari100k/pong").steps(400_000) == 100_000


def test_frames_of_a_step_are_those_of_the_suite():
    """Read from the source, as the suite's packages may be missing."""
    repeat = re.search(r"^REPEAT = (\d+)", (SUITE_FILES / "atari.py").read_text(), re.MULTILINE)
    assert SOURCES["atari"].frames == SOURCES["atari100k"].frames == int(repeat[1])


def test_scores_of_a_random_policy_are_below_the_published_ends():
    """Otherwise a ratio of scores would mean nothing; these games are not learned in every setting."""
    low = {name for name, task in all_tasks().items() if task.published().mean[-1] <= task.floor}
    assert {name.rpartition("/")[2] for name in low} <= {"freeway", "solaris", "venture", "skiing"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("dmc/walker_wlk", "did you mean 'dmc/walker_walk'"),
        ("atari/pnog", "did you mean 'atari/pong'"),
        ("mujoco/pong", "did you mean 'atari100k/pong' or 'atari/pong'"),
        ("xyzzy", "'reverie benchmark --list' lists all."),
    ],
)
def test_an_unknown_task_is_answered_with_similar_ones(name, hint):
    with pytest.raises(ValueError, match=hint):
        find_task(name)


def test_an_unknown_method_is_answered_with_those_there_are():
    with pytest.raises(ValueError, match="There is no published curve of 'sac' on 'atari_pong'; there are .*muzero"):
        find_task("atari/pong").published("sac")


def test_a_run_is_recognized_by_its_environment_and_settings():
    assert task_of_run("atari100k/pong", Config()).name == "atari100k/pong"
    assert task_of_run("CartPole-v1", replace(SMALL, seed=3, run=replace(SMALL.run, steps=7))).name == "small/cartpole"
    assert task_of_run("CartPole-v1", Config()).name == "CartPole-v1"
    assert task_of_run("CartPole-v1", Config.of(train_ratio=7)) is None
    assert task_of_run("crafter", Config()) is None  # a suite without published curves


def test_published_curves_are_in_environment_steps(tmp_path):
    config = Config.of(size="size12m", train_ratio=256, envs=1)
    path = write_run(tmp_path / "run", [1, 2], env="atari100k/pong", config=config)
    references, notes = overlays(curves(find_runs([path])), ["dreamerv3", "ppo_fixhp"])
    assert [one.label for one in references] == ["published: dreamerv3, 5 seeds", "published: ppo_fixhp, 5 seeds"]
    np.testing.assert_allclose(references[0].steps, published("atari100k", "atari_pong").frames / 4)
    assert "other settings than the published curve: model.deter 2048 instead of 8192" in notes[0]


def test_plot_draws_the_published_curve(tmp_path, capsys):
    path = write_run(tmp_path / "run", range(50))
    cli.main(["plot", str(path), "--published", "--out", str(tmp_path / "curves.svg")])
    drawn = (tmp_path / "curves.svg").read_text()
    assert "published: dreamerv3, 2 to 4 seeds" in drawn
    with (tmp_path / "curves.csv").open(newline="") as file:
        assert len(list(csv.reader(file))) == 101
    with pytest.raises(SystemExit):
        cli.main(["plot", str(path), "--published", "--metric", "val"])
    assert "There is no 'val'" in capsys.readouterr().err


def test_a_plot_without_any_published_curve_says_so(tmp_path, capsys):
    path = write_run(tmp_path / "run", range(5), env="Pendulum-v1")
    with pytest.raises(SystemExit):
        cli.main(["plot", str(path), "--published", "--out", str(tmp_path / "curves.png")])
    assert "There is no published curve of 'Pendulum-v1'" in capsys.readouterr().err


def test_lists_and_curves_need_no_jax():
    code = "import reverie.evidence as e, sys; e.all_tasks(); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
