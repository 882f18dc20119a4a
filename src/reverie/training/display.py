"""The progress of a run on the terminal or in a notebook. May import: `text`, rich.

The display is not the run: whatever goes wrong when it writes (a closed pipe, a full disk, a lost terminal), training
continues without it.
"""

import io
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NamedTuple, Protocol, runtime_checkable

from rich.console import Console, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from reverie.text import counted, printable


class Status(NamedTuple):
    """What is displayed of a row of metrics."""

    env_steps: int
    values: Mapping[str, float]  # the row
    recent: Sequence[float]  # returns of the newest finished episodes
    running: float  # mean return so far of the unfinished ones
    left: str  # how long the rest will take, or what the run is waiting for; empty at the end


class Display:
    """A few live lines below what is printed, on a terminal or in a notebook; elsewhere one line per report.

    Args:
        steps: environment steps of the whole run.
        quiet: print nothing.
    """

    def __init__(self, steps: int, *, quiet: bool = False):
        self.console: Console = _Terminal(quiet=quiet, highlight=False, soft_wrap=not os.isatty(1))
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")  # a terminal without × or → shows something else
        self._steps, self._failed = steps, False
        self._live: _LiveLines | None = None
        self._speed = self._shares = "not measured yet"

    def start(self) -> None:
        """Begin the live lines, where there can be some; in a notebook, they stay where they begin."""
        if not self.console.quiet:
            self._safely(self._start)

    def note(self, text: str | Table) -> None:
        """Print a sentence or a table."""
        self._safely(lambda: self.console.print(_printable(text) if isinstance(text, str) else text, markup=False))

    def warn(self, text: str) -> None:
        """Print a warning."""
        self._safely(lambda: self.console.print("[yellow]Warning:[/]", escape(_printable(text))))

    def update(self, status: Status) -> None:
        """Show the newest numbers: progress, time left, recent returns, rates and where the time goes."""
        self._safely(lambda: self._update(status))

    def close(self) -> None:
        """End the live lines; what is printed from now on comes below them."""
        live, self._live = self._live, None
        if live is not None:
            self._safely(live.stop)

    def _start(self) -> None:
        waiting = Text("Compiling …")
        if self.console.is_jupyter:
            self._live = _NotebookLines(waiting)
        elif self.console.is_terminal:
            live = Live(waiting, console=self.console, auto_refresh=False)
            live.start(refresh=True)
            self._live = live

    def _update(self, status: Status) -> None:
        values = status.values
        progress = f"step {status.env_steps:,} of {self._steps:,}"
        if status.left:
            progress += f" ({status.left})"
        progress += f", {counted(int(values['updates']), 'update')}"
        if "rate/env_steps" in values:  # not in the last row
            self._speed = f"{values['rate/env_steps']:.1f} steps/s, {values['rate/updates']:.2f} updates/s, "
            self._speed += f"{values['latency/act_ms']:.1f} ms to act"
            shares = {name[5:]: share for name, share in values.items() if name.startswith("time/")}
            self._shares = ", ".join(f"{name} {share:.0%}" for name, share in shares.items() if share)
        learning = _returns(status) + _losses(values)
        if self._live is None:
            self.console.print(f"{progress} · {learning} · {self._speed} · {self._shares}")
            return
        bar = ProgressBar(total=self._steps, completed=status.env_steps, width=40)
        rows: dict[str, RenderableType] = {"progress": progress, "": bar, "learning": learning}
        rows |= {"speed": self._speed, "time": self._shares}
        self._live.update(grid(rows.items()), refresh=True)

    def _safely(self, show: Callable[[], object]) -> None:
        """Call `show`; if nothing can be written any more, be silent from now on."""
        if self._failed:
            return
        try:
            show()
        except (OSError, ValueError) as error:  # ValueError: the file is closed
            self._failed = True
            _discard_stdout()
            with suppress(Exception):
                self._give_up()
            with suppress(Exception):
                print(f"Warning: nothing more is displayed ({error}); training continues.", file=sys.stderr)
        except Exception:  # for instance a signal's message in the middle of another: this one is lost
            return

    def _give_up(self) -> None:
        """Give stdout back to Python after a failure."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()


class _Terminal(Console):
    """A console that raises when its reader has gone, as `| head` does; Rich's own would end the process."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError("nobody reads stdout any more")


@runtime_checkable
class _LiveLines(Protocol):
    """The methods of `rich.live.Live` that the display uses."""

    def update(self, renderable: RenderableType, *, refresh: bool = False) -> None: ...

    def stop(self) -> None: ...


class _NotebookLines:
    """One output of a notebook's cell, updated in place."""

    def __init__(self, renderable: RenderableType) -> None:
        display = import_module("IPython.display").display  # there in every notebook, but no dependency
        self._handle: Any = display(renderable, display_id=True)

    def update(self, renderable: RenderableType, *, refresh: bool = False) -> None:
        self._handle.update(renderable)

    def stop(self) -> None:
        """The output stays as it is."""


def grid(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """A table of names and values without lines."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(_printable(name), _printable(value) if isinstance(value, str) else value)
    return table


def _printable(text: str) -> str:
    """Escape all that a terminal could obey, which names from an environment or a folder may contain; keep lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def duration(seconds: float) -> str:
    """Seconds as H:MM:SS."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def _returns(status: Status) -> str:
    if status.recent:
        return f"return {sum(status.recent) / len(status.recent):.1f} (last {len(status.recent)})"
    return f"no episode finished yet, return so far {status.running:.1f}"


def _losses(values: Mapping[str, float]) -> str:
    loss = f", loss {values['opt/loss']:.3g}" if "opt/loss" in values else ""
    if skipped := values.get("opt/skipped"):
        loss += f", {counted(int(skipped), 'update')} skipped (not finite)"
    return loss


def _discard_stdout() -> None:
    """Discard what is still written to stdout, so that neither a print nor Python's flush at exit fails."""
    with suppress(Exception):
        if sys.__stdout__ is not None:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.__stdout__.fileno())
            os.close(null)
