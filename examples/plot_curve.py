"""Plot a run's learning curve: python examples/plot_curve.py runs/cartpole curve.png [other.csv]

The optional CSV file has the columns env_steps and episode_return; its curve is added for comparison.
"""

import csv
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from reverie.results import read_metrics


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Trailing moving average over up to `window` values."""
    sums = np.cumsum(np.insert(values, 0, 0))
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(0, ends - window)
    return (sums[ends] - sums[starts]) / (ends - starts)


def main(run: str, picture: str, other: str | None = None) -> None:
    rows = [row for row in read_metrics(Path(run)) if "episode/return" in row]
    figure, axes = plt.subplots(figsize=(7, 4), constrained_layout=True)
    curves = {Path(run).name: ([row["step"] for row in rows], [row["episode/return"] for row in rows])}
    if other:
        with open(other, newline="") as file:
            table = list(csv.DictReader(file))
        name = Path(other).stem.replace("_", " ")
        curves[name] = ([int(r["env_steps"]) for r in table], [float(r["episode_return"]) for r in table])
    for name, (steps, returns) in curves.items():
        window = max(10, len(returns) // 20)
        (line,) = axes.plot(steps, smooth(np.array(returns), window), label=f"{name} (mean of {window} episodes)")
        axes.scatter(steps, returns, s=6, alpha=0.35, color=line.get_color())
    axes.set(xlabel="environment steps", ylabel="episode return")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(picture, dpi=150)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
