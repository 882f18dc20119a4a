"""Scores at equal frames, compared with numbers computed by hand; the gate; the files of a summary."""

import csv
import math
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from reverie import cli
from reverie.config import Config
from reverie.evidence import Outcome, find_task, read_outcome
from reverie.evidence.comparing import with_published, with_version
from reverie.evidence.gate import TooLowError, enforce, judge
from reverie.evidence.scores import compare, compare_versions, summarize
from reverie.evidence.summary import write_summary
from reverie.evidence.tasks import unpublished

WALKER = find_task("dmc/walker_walk")
CURVE = WALKER.published()


def outcome(scores, *, seed=0, task=WALKER, frames=None, ends=None, **changes) -> Outcome:
    """An outcome with one episode in each published bin, or at the given frames."""
    ends = np.array(CURVE.frames[: len(scores)] if ends is None else ends, float)
    values = {
        "task": task.name,
        "seed": seed,
        "env": task.env,
        "frames_per_step": task.frames_per_step,
        "finished": True,
        "frames": int(ends[-1]) if frames is None else frames,
        "ends": ends,
        "returns": np.array(scores, float),
        "seconds": 60.0,
        "commits": ("abc",),
        "config": replace(task.config, seed=seed),
        "machine": {"cpus": 2, "devices": ["cpu"]},
        "versions": {"jax": "0.10"},
    }
    return Outcome(**(values | changes))


def at_published(factor, *, bins=24, seed=0, **changes) -> Outcome:
    return outcome(factor * CURVE.mean[:bins], seed=seed, **changes)


def test_a_curve_equal_to_the_published_one_has_ratio_1():
    found = compare(WALKER, [at_published(1), at_published(1, seed=1)], "dreamerv3")
    for part in found.parts:
        assert part.ratio == pytest.approx(1)
        assert part.ratio_interval == pytest.approx((1, 1))
        assert part.better.mean() == 0.5
    np.testing.assert_allclose(found.mean, CURVE.mean)


def test_the_end_is_the_last_tenth_that_both_have():
    found = compare(WALKER, [at_published(1), at_published(2, seed=1, bins=12)], "dreamerv3")
    assert found.frames[-1] == CURVE.frames[11]  # the shorter run decides
    end = found.score("end")
    assert end.others == pytest.approx(CURVE.mean[10:12].mean())  # bins above 0.9 × 12 = 10.8
    assert end.spread == pytest.approx(CURVE.std[10:12].mean())
    np.testing.assert_allclose(end.normalized, [1, 2])
    np.testing.assert_allclose(found.score("whole").normalized, [1, 2])


def test_frames_that_end_inside_a_bin_leave_it_out():
    found = compare(WALKER, [outcome([1, 2, 3], frames=100_000, ends=[20_000, 60_000, 99_000])], "dreamerv3")
    assert len(found.frames) == 4
    np.testing.assert_array_equal(found.scores, [[1, 1, 2, 2]])  # empty bins repeat the one before


def test_a_run_below_the_first_bin_and_one_without_episodes_are_refused():
    with pytest.raises(ValueError, match="has 100 frames; the first bin ends at 20,416"):
        compare(WALKER, [outcome([1], ends=[100])], "dreamerv3")
    empty = replace(at_published(1), ends=np.array([]), returns=np.array([]))
    with pytest.raises(ValueError, match="No episode of dmc/walker_walk, seed 0, ended within"):
        compare(WALKER, [empty], "dreamerv3")


def test_the_probability_of_improvement_over_published_seeds_is_that_of_a_normal_deviate():
    scores = [CURVE.mean + CURVE.std, CURVE.mean - CURVE.std]
    found = compare(WALKER, [outcome(x, seed=i) for i, x in enumerate(scores)], "dreamerv3")
    np.testing.assert_allclose(found.score("end").better, [0.8413, 0.1587], atol=1e-4)


def test_scores_are_counted_from_a_random_policys():
    pong = find_task("atari100k/pong")
    curve = pong.published()
    half = (curve.mean + pong.floor) / 2  # half of the way from a random policy's -20.7
    found = compare(pong, [outcome(half, task=pong, ends=curve.frames)], "dreamerv3")
    assert found.score("end").ratio == pytest.approx(0.5)


def test_where_others_are_no_better_than_random_there_is_no_ratio():
    freeway = find_task("atari100k/freeway")
    ends = freeway.published().frames
    found = compare(freeway, [outcome(np.ones(24), task=freeway, ends=ends, seed=s) for s in (0, 1)], "dreamerv3")
    assert math.isnan(found.score("end").ratio)
    both = [found, compare(WALKER, [at_published(1, seed=s) for s in (0, 1)], "dreamerv3")]
    assert summarize(both, "end").tasks == 1
    assert summarize(both, "end").ratio == pytest.approx(1)


def test_all_tasks_together_are_the_interquartile_mean_over_seeds_and_tasks():
    reacher = find_task("dmc/reacher_easy")
    curve = reacher.published()
    one = compare(WALKER, [at_published(x, seed=s) for s, x in enumerate((0.1, 1.0))], "dreamerv3")
    two = compare(
        reacher,
        [outcome(x * curve.mean, task=reacher, ends=curve.frames, seed=s) for s, x in enumerate((2, 9, 5))],
        "dreamerv3",
    )
    total = summarize([one, two], "whole")
    assert (total.tasks, total.seeds) == (2, 2)  # the third seed is in one task only
    assert total.ratio == pytest.approx((1 + 2) / 2)
    low, high = total.ratio_interval
    assert low < total.ratio < high


def test_versions_are_compared_on_the_seeds_that_both_have():
    ours = [at_published(2, seed=1), at_published(3, seed=2), at_published(9, seed=7)]
    theirs = [at_published(2, seed=2), at_published(1, seed=1), at_published(7, seed=3)]
    found = compare_versions(WALKER, ours, theirs, "before", "dreamerv3")
    assert [one.seed for one in found.outcomes] == [1, 2]
    end = found.score("end")
    assert end.ratio == pytest.approx(2.5 / 1.5)
    np.testing.assert_array_equal(end.better, [0.75, 1])  # 2 beats 1 and ties with 2
    low, high = end.ratio_interval
    assert (low, high) == pytest.approx((1, 3))  # both sides are resampled: 2 ÷ 2 to 3 ÷ 1
    with pytest.raises(ValueError, match="No seed of dmc/walker_walk"):
        compare_versions(WALKER, ours[2:], theirs, "before", "dreamerv3")


def test_versions_can_be_compared_on_any_environment():
    task = unpublished("Pendulum-v1", 2400)
    ends = np.arange(1, 25) * 100
    sides = [
        [outcome(np.full(24, x), task=task, ends=np.arange(1, 25) * 100, seed=s) for s in (0, 1)]
        for x in (-100.0, -200.0)
    ]
    found = with_version(*sides, "before", "dreamerv3", print)
    assert found[0].frames.tolist() == ends.tolist()
    assert found[0].score("end").better.tolist() == [1, 1]
    assert math.isnan(found[0].score("end").ratio)  # of negative returns


def test_runs_that_have_not_finished_are_not_compared(capsys):
    ours = [at_published(1), at_published(5, seed=1, finished=False)]
    assert len(with_published(ours, "dreamerv3", print)[0].outcomes) == 1
    with pytest.raises(ValueError, match="nothing to compare yet"):
        with_published(ours[1:], "dreamerv3", print)
    with pytest.raises(ValueError, match="nothing to compare yet"):
        with_published([outcome([1], task=unpublished("Pendulum-v1", 9))], "dreamerv3", print)
    assert "There is no published curve of 'Pendulum-v1'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("factors", "states"),
    [
        ((1.0, 1.0, 1.0), ["ok", "ok"]),
        ((0.5, 0.6, 0.7), ["low", "low"]),
        ((0.5, 0.6, 1.0), ["ok", "ok"]),  # the interval reaches 1
        ((0.5,), ["missing", "missing"]),
    ],
)
def test_the_gate_is_the_published_mean_minus_its_spread(factors, states):
    outcomes = [at_published(x, seed=s) for s, x in enumerate(factors)]
    verdicts = judge(with_published(outcomes, "dreamerv3", print), outcomes)
    assert [one.state for one in verdicts] == states
    if states[0] == "ok":
        enforce(verdicts)
    else:
        with pytest.raises(TooLowError, match=r"2 of 2 checks failed\. dmc/walker_walk, end"):
            enforce(verdicts)


def test_the_gate_misses_runs_and_leaves_alone_what_has_no_spread():
    coinrun = find_task("procgen/coinrun")
    ends = coinrun.published().frames
    outcomes = [outcome(np.zeros(24), task=coinrun, ends=ends, seed=s) for s in (0, 1)]
    assert {one.state for one in judge(with_published(outcomes, "dreamerv3", print), outcomes)} == {"unjudged"}
    missing = [at_published(1), at_published(1, seed=1), at_published(1, seed=2, finished=False)]
    verdicts = judge(with_published(missing, "dreamerv3", print), missing)
    assert verdicts[-1] == ("missing", "dmc/walker_walk, seed 2", "has not finished")


def test_the_command_checks_a_folder(tmp_path, capsys):
    for seed, factor in enumerate((0.1, 0.2)):
        at_published(factor, seed=seed).write(tmp_path / f"dmc-walker_walk-{seed}.json")
    with pytest.raises(SystemExit) as ended:
        cli.main(["benchmark", "--check", str(tmp_path)])
    assert ended.value.code == 1
    assert "low  dmc/walker_walk, end" in capsys.readouterr().out
    for seed in (0, 1):
        at_published(1, seed=seed).write(tmp_path / f"dmc-walker_walk-{seed}.json")
    cli.main(["benchmark", "--check", str(tmp_path)])
    (tmp_path / "dmc-walker_walk-1.json").write_text("{")
    with pytest.raises(SystemExit):
        cli.main(["benchmark", "--check", str(tmp_path)])
    assert "dmc-walker_walk-1.json' is damaged" in capsys.readouterr().err


def test_an_outcome_survives_its_file(tmp_path):
    ours = outcome([1.5, 2], seed=3)
    ours.write(tmp_path / "new" / "x-3.json")
    read = read_outcome(tmp_path / "new" / "x-3.json")
    np.testing.assert_array_equal(read.returns, [1.5, 2])
    np.testing.assert_array_equal(read.ends, ours.ends)
    same = {"ends": read.ends, "returns": read.returns}
    assert replace(ours, **same) == read


class Page(HTMLParser):
    """The text and the tags of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.text = list[str](), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.text += data


def test_a_summary_is_a_page_a_picture_and_numbers(tmp_path):
    hostile = "<script>1</script>"
    outcomes = [at_published(1, seed=s, commits=(hostile,)) for s in (0, 1)]
    write_summary(with_published(outcomes, "dreamerv3", print), tmp_path, print)
    page = Page((tmp_path / "index.html").read_text())
    assert "script" not in page.tags
    assert {"svg", "polygon", "polyline", "table"} <= set(page.tags)
    assert "reverie benchmark --check" in page.text
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    with (tmp_path / "summary.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["task"], row["part"]) for row in rows] == [
        *(("dmc/walker_walk", "end"), ("dmc/walker_walk", "whole")),
        *(("all", "end"), ("all", "whole")),
    ]
    assert float(rows[0]["ratio"]) == 1
    with (tmp_path / "curves.csv").open(newline="") as file:
        curve = list(csv.DictReader(file))
    assert [float(row["others"]) for row in curve] == CURVE.mean.tolist()


def test_one_seed_has_no_interval_but_a_summary(tmp_path):
    write_summary(with_published([at_published(1)], "dreamerv3", print), tmp_path, print)
    assert (tmp_path / "summary.csv").read_text().splitlines()[1].split(",")[5:7] == ["", ""]


def test_settings_that_differ_between_versions_are_told(capsys):
    changed = Config.of(train_ratio=7)
    with_version([at_published(1)], [at_published(1, config=changed)], "before", "dreamerv3", print)
    assert "Settings of dmc/walker_walk differ between the versions: " in capsys.readouterr().out
