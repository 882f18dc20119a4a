"""Aggregate scores of a few runs, with confidence intervals. May import: nothing of Reverie; NumPy.

The methods are those of Agarwal et al., "Deep reinforcement learning at the edge of the statistical precipice" (2021).
"""

import numpy as np

RESAMPLES, CONFIDENCE = 2000, 0.95
QUARTER = 0.25


def interquartile_mean(scores: np.ndarray) -> float:
    """The mean of the middle half of all entries; a quarter of them, rounded down, is dropped at either end."""
    return float(_trimmed_mean(scores.reshape(1, -1), QUARTER)[0])


def bootstrap_interval(
    scores: np.ndarray, seed: int = 0, trim: float = QUARTER, over: np.ndarray | None = None
) -> tuple[float, float]:
    """The 95% bootstrap confidence interval of the interquartile mean, or of another trimmed mean.

    Args:
        scores: (runs, tasks), in units that the tasks share. Runs are resampled within each task (stratified).
        seed: seeds the resampling.
        trim: the share of entries that is dropped at either end; 0 for the mean.
        over: (runs, tasks), other scores whose mean, resampled too, divides that of `scores`.

    Returns:
        Lower and upper bound; NaN for fewer than two runs, which say nothing about others.
    """
    if len(scores) < 2 or (over is not None and len(over) < 2):
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    means = _resampled_means(scores, random, trim)
    if over is not None:
        means = means / _resampled_means(over, random, trim)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _resampled_means(scores: np.ndarray, random: np.random.Generator, trim: float) -> np.ndarray:
    """The trimmed mean of each resample, (RESAMPLES,)."""
    runs, tasks = scores.shape
    drawn = random.integers(runs, size=(RESAMPLES, runs, tasks))
    return _trimmed_mean(scores[drawn, np.arange(tasks)].reshape(RESAMPLES, -1), trim)


def _trimmed_mean(scores: np.ndarray, trim: float) -> np.ndarray:
    """The mean of each row without a share of its entries, rounded down, at either end."""
    ordered = np.sort(scores, axis=1)
    cut = int(ordered.shape[1] * trim)
    return ordered[:, cut : ordered.shape[1] - cut].mean(1)
