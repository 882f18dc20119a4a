"""`reverie plot`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Plot:
    """Plot learning curves: the interquartile mean over seeds, with a confidence interval."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, or folders that contain runs."""
    out: Path = Path("curves.png")
    """The picture to write. Its numbers are written next to it as .csv."""
    metric: str = "episode/return"
    """Any metric that the runs have logged (docs/metrics.md)."""

    def __call__(self) -> None:
        from rich.console import Console

        from reverie.results import curves, find_runs, plot, table

        found = curves(find_runs(self.runs), self.metric)
        Console(soft_wrap=True).print(table(found))
        picture, numbers = plot(found, self.out, self.metric)
        print(f"The picture is in '{picture}', its numbers are in '{numbers}'.")
