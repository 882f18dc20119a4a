"""Marks a run's metrics against healthy runs; docs/healthy.md shows these and says where each bound comes from.

May import: `config`, `runs`. Everything is judged by the last tenth of the updates, except skipped ones.
"""

from typing import Literal, NamedTuple

import numpy as np

from reverie.results.runs import Run

EARLIEST = 200  # updates; before, nothing can be said
RECENT = 0.1  # the share of the updates that is judged
EPISODES = 20  # at the beginning and at the end, to see whether anything was learned

NEARLY_FIXED = 0.1  # of the largest entropy: below, a policy hardly explores
AT_FREE_BITS = 1.002  # of the free nats: below, the KL has no gradient in nearly all steps
REACHED = 0.95  # of the train ratio
LARGEST_GAP = 1.0  # of the return scale, between the critic and its targets
LONGEST_LAG = 1000  # updates by which the critic follows its targets


class Mark(NamedTuple):
    """What a metric says about a run."""

    state: Literal["ok", "warning"]
    about: str
    found: str
    normal: str
    todo: str  # empty if all is well


def marks(run: Run) -> list[Mark]:
    """A mark for each check that the run has enough metrics for."""
    updates = run.series("updates")[1]
    if not len(updates) or updates[-1] < EARLIEST:
        return []
    found = (_entropy(run), _free_bits(run), _train_ratio(run), _critic(run), _skipped(run))
    return [mark for mark in found if mark is not None]


def _entropy(run: Run) -> Mark | None:
    """Whether the policy has become nearly deterministic without having learned anything."""
    names = {name for row in run.rows for name in row if name.startswith("rand/")}
    returns = run.series("episode/return")[1]
    if not names or len(returns) < 2 * EPISODES:
        return None
    left = min(_recent(run, name) for name in names)
    learned = _clearly_higher(returns[-EPISODES:], returns[:EPISODES])
    collapsed = left < NEARLY_FIXED and not learned
    shown = f"{left:.2g} of the largest, returns {'above' if learned else 'not above'} those of the first episodes"
    return _mark(
        not collapsed,
        "entropy of the policy",
        shown,
        f"below {NEARLY_FIXED} only once returns have risen",
        "The policy stopped exploring before it had learned. Start again with --behaviour.entropy-scale 3e-3, or with "
        "a lower --optimizer.learning-rate.",
    )


def _free_bits(run: Run) -> Mark | None:
    """Whether the posterior says nothing that the prior does not know."""
    free = run.config.loss.free_nats
    if not free or not len(run.series("loss/dyn")[0]):
        return None
    share = _recent(run, "loss/dyn") / free
    return _mark(
        share >= AT_FREE_BITS,
        "KL of the world model",
        f"{share:.4g} × the free nats",
        f"above {AT_FREE_BITS}, mostly 1.01 to 1.3",
        "The latent state carries no more than the free nats allow. Normal before the first rewards; later, look at "
        "the open-loop predictions, and lower --loss.free-nats if they miss what matters.",
    )


def _train_ratio(run: Run) -> Mark | None:
    """Whether updates kept up with environment steps, over the second half of the updates."""
    steps, updates = run.series("updates")
    steps, updates = (x[updates >= updates[-1] / 2] for x in (steps, updates))
    if not run.config.run.train_ratio or steps[-1] <= steps[0]:
        return None
    replayed = (updates[-1] - updates[0]) * run.config.replay.batch * run.config.replay.length
    reached = float(replayed / (steps[-1] - steps[0]))
    return _mark(
        reached >= REACHED * run.config.run.train_ratio,
        "train ratio",
        f"{reached:.4g} of {run.config.run.train_ratio:g}",
        f"at least {REACHED:.0%} of the setting",
        "Updates don't keep up with environment steps, so the run learns less from each than it should. Was the train "
        "ratio changed on the way (history.jsonl)?",
    )


def _critic(run: Run) -> Mark | None:
    """Whether the critic is far below its targets, for long."""
    if not all(len(run.series(name)[0]) for name in ("adv", "tar", "val")):
        return None
    gap, lag = _recent(run, "adv"), _lag(run)
    return _mark(
        gap < LARGEST_GAP or lag < LONGEST_LAG,
        "critic",
        f"{lag:,} updates and {gap:.2g} of the return scale behind its targets",
        f"below {LARGEST_GAP:g} of the return scale, or {LONGEST_LAG:,} updates, while returns rise",
        "The critic does not catch up with the returns. Check whether rewards drift or are huge, and try a higher "
        "--optimizer.learning-rate or --train-ratio.",
    )


def _skipped(run: Run) -> Mark:
    """Whether updates were skipped because their loss or gradient was not finite."""
    count = int(run.series("opt/skipped")[1].sum())
    return _mark(
        not count,
        "non-finite updates",
        f"{count:,} skipped",
        "none",
        "Look at skipped_batch.safetensors in the run's folder, and at the environment's observations and rewards; "
        "then try --model.compute-dtype float32, or a lower --optimizer.learning-rate.",
    )


def _mark(well: bool, about: str, found: str, normal: str, todo: str) -> Mark:
    return Mark("ok", about, found, normal, "") if well else Mark("warning", about, found, normal, todo)


def _recent(run: Run, metric: str) -> float:
    """The mean of a metric over the last tenth of its rows."""
    values = run.series(metric)[1]
    return float(values[-max(1, round(RECENT * len(values))) :].mean())


def _clearly_higher(later: np.ndarray, earlier: np.ndarray) -> bool:
    """Whether one mean is above another by more than twice the standard error of the difference."""
    error = np.sqrt(later.var() / len(later) + earlier.var() / len(earlier))
    return bool(later.mean() > earlier.mean() + 2 * error)


def _lag(run: Run) -> int:
    """How many updates ago the critic's targets were first above what it now says."""
    rows = [row for row in run.rows if row.get("updates") is not None and row.get("tar") is not None]
    now, value = rows[-1]["updates"], _recent(run, "val")
    return int(now - next((row["updates"] for row in rows if row["tar"] > value), now))
