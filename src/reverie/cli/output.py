"""Tables for the terminal. May import: `text`; rich."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = ()) -> None:
    """Print a table; columns in `left` are aligned to the left, the others to the right."""
    from rich.table import Table
    from rich.text import Text

    from reverie.text import printable

    table = Table(box=None, pad_edge=False)
    for index, name in enumerate(head):
        table.add_column(name, justify="left" if index in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    show(table)


def show(table: "Table") -> None:
    """Print a table in its full width, which the terminal may wrap: nothing is cut off."""
    from rich.console import Console
    from rich.measure import Measurement

    console = Console()
    wide = console.options.update(max_width=1000)
    console.width = max(console.width, Measurement.get(console, wide, table).maximum)
    console.print(table)
