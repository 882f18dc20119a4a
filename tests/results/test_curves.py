"""Finding runs, reading them while they train, grouping and plotting them."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from reverie import cli
from reverie.config import Config, config_to_dict
from reverie.results import Run, curves, find_runs, plot, read_metrics, table


def write_run(path: Path, rows, *, env="CartPole-v1", config=None) -> Path:
    path.mkdir(parents=True)
    (path / "agent.json").write_text(json.dumps({"env": env, "config": config_to_dict(config or Config())}))
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def episodes(*values: float, every: int = 100) -> list[dict[str, float]]:
    return [{"step": every * (i + 1), "episode/return": value} for i, value in enumerate(values)]


def seeds(folder: Path, *returns, **changes) -> list[Path]:
    return [
        write_run(folder / str(seed), episodes(*values), config=replace(Config(), seed=seed, **changes))
        for seed, values in enumerate(returns)
    ]


def test_a_run_that_is_being_written_is_read_as_far_as_it_is_whole(tmp_path):
    path = write_run(tmp_path / "run", episodes(1, 2))
    with (path / "metrics.jsonl").open("ab") as file:
        file.write(b'[1]\n"text"\n{"step": null}\n\xff\xfe\n{"step": 300, "episode/return": null}\n{"step": 400, "epis')
    assert [row["step"] for row in read_metrics(path)] == [100, 200, 300]
    steps, values = Run.read(path).series("episode/return")
    np.testing.assert_array_equal(steps, [100, 200])
    np.testing.assert_array_equal(values, [1, 2])


def test_a_curve_is_the_interquartile_mean_of_the_runs(tmp_path):
    paths = seeds(tmp_path, [0, 10], [1, 11], [2, 12], [90, 99])
    (curve,) = curves(find_runs(paths))
    assert len(curve.runs) == 4
    assert curve.steps[-1] == 200
    at = {int(step): index for index, step in enumerate(curve.steps)}
    assert np.isnan(curve.mean[at[98]])  # no episode had ended yet
    assert curve.mean[at[100]] == curve.mean[at[198]] == 1.5  # an empty bin repeats the one before it
    assert curve.mean[at[200]] == 11.5
    assert curve.low[at[200]] >= 10
    assert curve.high[at[200]] <= 99
    assert curve.low[at[200]] < 11.5 < curve.high[at[200]]


def test_episodes_between_two_points_are_averaged(tmp_path):
    (curve,) = curves(find_runs([write_run(tmp_path / "run", episodes(*range(1000), every=1))]))
    assert curve.mean[0] == 4.5
    assert curve.mean[-1] == 994.5
    assert np.all(np.isnan(curve.low))  # one run has no interval


def test_a_mean_ends_where_fewer_than_half_of_the_runs_have_got(tmp_path):
    (curve,) = curves(find_runs(seeds(tmp_path, [1] * 10, [1] * 4, [1] * 4)))
    assert np.isfinite(curve.mean[:40]).sum() > 25
    assert np.all(np.isnan(curve.mean[41:]))
    assert curve.counts.tolist()[-1] == 1


def test_groups_are_environments_and_settings_but_not_seeds(tmp_path):
    plain = Config()
    seeds(tmp_path / "a", [1], [2])
    seeds(tmp_path / "b", [3], run=replace(plain.run, train_ratio=32, steps=7))
    seeds(tmp_path / "c", [4], run=replace(plain.run, steps=9), env=replace(plain.env, mode="parallel"))
    write_run(tmp_path / "d", episodes(5), env="Pendulum-v1")
    found = curves(find_runs([tmp_path]))
    assert [(curve.env, curve.label, len(curve.runs)) for curve in found] == [
        ("CartPole-v1", "run.train_ratio 512.0", 3),
        ("CartPole-v1", "run.train_ratio 32.0", 1),
        ("Pendulum-v1", "", 1),
    ]


def test_folders_of_runs_are_groups_of_their_own(tmp_path):
    seeds(tmp_path / "old", [1], [2])
    seeds(tmp_path / "new", [3], [4])
    found = curves(find_runs([tmp_path / "old", tmp_path / "new"]))
    assert [curve.label for curve in found] == [str(tmp_path / "old"), str(tmp_path / "new")]
    one = curves(find_runs([tmp_path / "old" / "0", tmp_path / "old" / "1"]))
    assert [curve.label for curve in one] == [""]


def test_a_run_counts_once(tmp_path):
    (path,) = seeds(tmp_path, [1])
    assert len(find_runs([path, tmp_path, path])) == 1


def test_the_final_score_is_over_the_last_tenth_of_the_steps(tmp_path):
    returns = [0.0] * 90 + [10.0] * 9 + [1000.0]  # a lucky last episode
    (curve,) = curves(find_runs(seeds(tmp_path, returns, returns)))
    assert curve.final == (10_000, 109, 109, 109)
    text = printed(curve)
    assert "IQM, last 10% of steps" in text
    assert "109" in text


def printed(*found) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(table(found))
    return console.file.getvalue()


def test_names_from_files_never_command_the_terminal(tmp_path):
    evil = "a\x1b]0;title\x07\x9b31m\u202e$x"
    path = write_run(tmp_path / "run", episodes(1), env=evil)
    found = curves(find_runs([path]))
    text = printed(*found)
    assert text.replace("\n", "").isprintable()
    assert r"a\x1b]0;title\x07\x9b31m\u202e$x" in text
    plot(found, tmp_path / "curves.png")


@pytest.mark.parametrize("value", [1e17, -1e17, 1e300, -1e300, 1e-300, 5e-324, 0.0])
def test_constants_of_any_size_are_drawn(tmp_path, value):
    found = curves(find_runs(seeds(tmp_path, [value] * 3, [value] * 3)))
    assert found[0].final.mean == pytest.approx(value)
    plot(found, tmp_path / "curves.png")


def test_values_that_are_no_finite_numbers_are_left_out(tmp_path):
    values = ["NaN", "Infinity", "1e999", "1e308", "9" * 400, "null", "true", '"5"', "[5]", "{}", "[" * 10_000]
    path = write_run(tmp_path / "run", episodes(1))
    with (path / "metrics.jsonl").open("a") as file:
        file.writelines(f'{{"step": {200 + i}, "episode/return": {value}}}\n' for i, value in enumerate(values))
        file.writelines(f'{{"step": {step}, "episode/return": 7}}\n' for step in ("-1", "true", "1.5", "9" * 400))
    np.testing.assert_array_equal(Run.read(path).series("episode/return"), [[100], [1]])


def test_a_metric_at_step_0_alone_is_drawn(tmp_path):
    path = write_run(tmp_path / "run", [{"step": 0, "eval/return": 3}])
    (curve,) = curves(find_runs([path]), "eval/return")
    plot([curve], tmp_path / "curves.png")


def test_a_picture_without_a_suffix_is_a_png(tmp_path):
    found = curves(find_runs(seeds(tmp_path, [1, 2])))
    picture, numbers = plot(found, tmp_path / "mine")
    assert (picture.name, numbers.name) == ("mine.png", "mine.csv")
    assert picture.is_file()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.mkdir(), "There is no run in"),
        (lambda path: None, "There is no run in"),
        (lambda path: write_run(path, []), "No episode has ended yet in"),
        (lambda path: (write_run(path, []), (path / "metrics.jsonl").unlink()), "There is no run in"),
        (lambda path: (write_run(path, []), (path / "agent.json").write_text("{")), "can't be read"),
    ],
)
def test_what_can_not_be_drawn_is_said(tmp_path, make, sentence):
    make(tmp_path / "run")
    with pytest.raises(ValueError, match=sentence):
        curves(find_runs([tmp_path / "run"]))


def test_no_folder_is_too_few():
    with pytest.raises(ValueError, match="at least one run"):
        find_runs([])


def test_an_unknown_metric_is_answered_with_those_there_are(tmp_path):
    path = write_run(tmp_path / "run", episodes(1))
    with pytest.raises(ValueError, match="There is no 'loss/total' in .*; there are episode/return"):
        curves(find_runs([path]), "loss/total")


def test_a_plot_is_a_picture_and_its_numbers(tmp_path):
    found = curves(find_runs([*seeds(tmp_path / "a", [0, 1], [1, 3]), write_run(tmp_path / "b", episodes(5), env="x")]))
    picture, numbers = plot(found, tmp_path / "new" / "curves.png")
    with Image.open(picture) as image:
        assert image.width > 800
    with numbers.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["env"] for row in rows} == {"CartPole-v1", "x"}
    last = [row for row in rows if row["env"] == "CartPole-v1"][-1]
    assert last == {
        "env": "CartPole-v1",
        "metric": "episode/return",
        "label": "",
        "env_steps": "200",
        "runs": "2",
        "iqm": "2",
        "low": "1",
        "high": "3",
    }
    with pytest.raises(ValueError, match="Matplotlib can't write"):
        plot(found, tmp_path / "curves.docx")


def test_reading_results_needs_no_jax():
    code = "import reverie.results, sys; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_error_never_commands_the_terminal(tmp_path, capsys):
    with pytest.raises(SystemExit):
        cli.main(["plot", str(tmp_path / "evil\x1b]0;title\x07")])
    printed = capsys.readouterr().err
    assert r"evil\x1b]0;title\x07" in printed
    assert printed.replace("\n", "").isprintable()
