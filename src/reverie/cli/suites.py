"""`reverie suites`. May import: everything below `cli`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Suites:
    """List the suites of environments, and how to install those that are missing."""

    def __call__(self) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        from reverie.envs.suites import SUITES, missing

        table = Table(box=None, pad_edge=False)
        for column in ("example", "extra"):
            table.add_column(column, no_wrap=True)
        table.add_column("description")
        table.add_row("CartPole-v1", "installed", "every environment registered with Gymnasium")
        for name, suite in SUITES.items():
            table.add_row(suite.example, suite.extra if missing(name) else "installed", suite.about)
        console = Console(soft_wrap=True)
        console.print(table)
        console.print(Text("\nInstall a missing suite by its extra: pip install 'reverie[EXTRA]'"))
