"""Aggregates over few runs and how sure they are, after Agarwal et al., "Deep reinforcement learning at the edge of the
statistical precipice" (2021). May import: nothing of Reverie; NumPy."""

import numpy as np

RESAMPLES, CONFIDENCE = 2000, 0.95


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean of the middle half: a quarter, rounded down, is cut off at either end. Of all entries at once."""
    ordered = np.sort(scores, axis=None)
    cut = len(ordered) // 4
    return float(np.mean(ordered[cut : len(ordered) - cut]))


def bootstrap_interval(scores: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The interval in which 95% of the interquartile means lie if runs are drawn anew, with replacement.

    Args:
        scores: (runs, tasks), in units that tasks share. Each task's runs are drawn among themselves (stratified).

    Returns:
        Low and high; NaN for fewer than two runs, which say nothing about others.
    """
    runs, tasks = scores.shape
    if runs < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(runs, size=(RESAMPLES, runs, tasks))
    ordered = np.sort(scores[drawn, np.arange(tasks)].reshape(RESAMPLES, -1), axis=1)
    cut = ordered.shape[1] // 4
    means = ordered[:, cut : ordered.shape[1] - cut].mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)
