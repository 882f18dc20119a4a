"""`reverie replay`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro


@dataclass(frozen=True)
class Replay:
    """Export the experience in a run's newest checkpoint as a dataset: reverie replay export RUN --out DATASET."""

    action: tyro.conf.Positional[Literal["export"]]
    """What to do."""
    run: tyro.conf.Positional[Path]
    """The run's folder."""
    out: str
    """The new dataset: a folder, or minari:NAMESPACE/NAME-v0."""

    def __call__(self) -> None:
        from reverie.text import printable
        from reverie.training import export_replay

        count = export_replay(self.run, self.out)
        print(f"Exported {count:,} episodes to '{printable(self.out)}'.")
