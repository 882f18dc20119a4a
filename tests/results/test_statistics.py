"""Aggregates over runs, compared with numbers computed by hand and by SciPy."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import trim_mean

from reverie.results import bootstrap_interval, interquartile_mean


@pytest.mark.parametrize(
    ("scores", "mean"),
    [
        ([7.0], 7),
        ([1.0, 2.0, 6.0], 3),  # a quarter of three rounds down to none
        ([100.0, 1.0, 2.0, -50.0], 1.5),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 1000.0], 3.5),
    ],
)
def test_the_interquartile_mean_leaves_out_a_quarter_at_either_end(scores, mean):
    assert interquartile_mean(np.array(scores)) == mean
    assert interquartile_mean(np.array(scores)) == trim_mean(scores, 0.25)


def test_all_tasks_are_ordered_together():
    scores = np.random.default_rng(0).normal(size=(5, 3))
    assert interquartile_mean(scores) == pytest.approx(trim_mean(scores, 0.25, axis=None))


def test_the_interval_of_two_runs_is_that_of_the_four_ways_to_draw_them():
    # 0 and 1 give the means 0, 0.5, 0.5 and 1, each with probability 1/4: the 2.5% and 97.5% quantiles are 0 and 1.
    assert bootstrap_interval(np.array([[0.0], [1.0]])) == (0, 1)


def test_the_interval_of_three_runs_is_that_of_all_ways_to_draw_them():
    scores = np.array([1.0, 4.0, 10.0])
    every = [interquartile_mean(scores[list(drawn)]) for drawn in product(range(3), repeat=3)]
    # Each of the 27 resamples has a probability of 3.7%, more than the 2.5% cut off at either end.
    assert bootstrap_interval(scores[:, None]) == (min(every), max(every))


def test_the_interval_of_normal_scores_has_the_width_of_the_theory():
    scores = np.random.default_rng(0).normal(size=(400, 1))
    low, high = bootstrap_interval(scores)
    # The interquartile mean has 1.09 times the standard error of the mean (its efficiency is 0.84).
    assert high - low == pytest.approx(2 * 1.96 * 1.09 / 20, rel=0.15)


def test_runs_are_drawn_within_their_task():
    # The runs of each task agree, so there is no uncertainty, although the tasks differ.
    assert bootstrap_interval(np.array([[1.0, 5.0], [1.0, 5.0]])) == (3, 3)


def test_one_run_says_nothing_about_others():
    assert all(np.isnan(bootstrap_interval(np.array([[3.0]]))))


def test_a_ratio_of_means_resamples_both():
    # 2 or 3, over 1 or 2: from 2 ÷ 2 to 3 ÷ 1, each with a probability of 1/16, more than the 2.5% cut off.
    two, one = np.array([[2.0], [3.0]]), np.array([[1.0], [2.0]])
    assert bootstrap_interval(two, trim=0, over=one) == (1, 3)
    assert all(np.isnan(bootstrap_interval(two, over=one[:1])))
