"""`reverie report`. May import: everything below `cli`."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Report:
    """Summarize a run on one page, RUN/report.html. Training writes the page too when it ends."""

    run: tyro.conf.Positional[Path]
    """The run's folder."""

    def __call__(self) -> None:
        from reverie.results import write_report

        print(f"The report is in '{write_report(self.run)}'.")
