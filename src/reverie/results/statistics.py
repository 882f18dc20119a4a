"""Aggregate scores of a few runs, with confidence intervals. May import: nothing of Reverie; NumPy.

The methods are those of Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (2021).
"""

import numpy as np

RESAMPLES, CONFIDENCE = 2000, 0.95


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean of the middle half of all entries; a quarter of them, rounded down, is dropped at either end."""
    ordered = np.sort(scores, axis=None)
    cut = len(ordered) // 4
    return float(np.mean(ordered[cut : len(ordered) - cut]))


def bootstrap_interval(scores: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """The 95% bootstrap confidence interval of the interquartile mean.

    Args:
        scores: (runs, tasks), in units that the tasks share. Runs are resampled within each task (stratified).
        seed: seeds the resampling.

    Returns:
        Lower and upper bound; NaN for fewer than two runs, which say nothing about others.
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
