"""`reverie plot`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from reverie.errors import InputError

if TYPE_CHECKING:
    from reverie.results import Curve, Reference


@dataclass(frozen=True)
class Plot:
    """Plot learning curves: the interquartile mean over seeds, with a confidence interval."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of runs, or folders that contain runs."""
    out: Path = Path("curves.png")
    """The picture to write. Its numbers are written next to it as .csv."""
    metric: tuple[str, ...] = ("episode/return",)
    """Any metrics that the runs have logged (docs/metrics.md), a panel for each."""

    published: bool = False
    """Draw the published curve of each environment too. 'reverie benchmark --list' lists those that have one."""
    methods: tuple[str, ...] = ("dreamerv3",)
    """With --published: whose curves."""

    def __call__(self) -> None:
        from reverie.cli.output import show
        from reverie.results import curves, find_runs, plot, table

        runs = find_runs(self.runs)
        found = [curve for metric in self.metric for curve in curves(runs, metric)]
        references, notes = self._overlays(found)
        show(table(found))
        for note in notes:
            print(note)
        picture, numbers = plot(found, self.out, references)
        print(f"The picture is in '{picture}', its numbers are in '{numbers}'.")

    def _overlays(self, found: "list[Curve]") -> "tuple[list[Reference], list[str]]":
        """The published curves, and what to say about them."""
        if not self.published:
            return [], []
        from reverie.evidence import overlays
        from reverie.results.curves import EPISODE_RETURN

        if self.metric != (EPISODE_RETURN,):
            raise InputError(f"Published curves are of {EPISODE_RETURN}; leave out --metric {' '.join(self.metric)}.")
        return overlays(found, self.methods)
