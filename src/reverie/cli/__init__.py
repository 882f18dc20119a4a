"""The command line, a file per command, thin over the public API. May import: everything, when a command needs it."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from reverie.cli.messages import explained, plain_warnings
from reverie.cli.parsing import parse
from reverie.errors import InputError

__all__ = ["main"]

# Exit statuses. A run that a signal other than Ctrl-C ends has one of its own, see `reverie.training.signals`.
ERROR, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What a person can fix is reported in a sentence, without a traceback; `reverie --help` lists the
    exit statuses."""
    for stream in (sys.stdout, sys.stderr):  # names of files may hold any bytes, and a terminal may know only ASCII
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    status = USAGE
    try:
        _search_working_folder()
        command = parse(sys.argv[1:] if arguments is None else arguments)
        status = ERROR
        with plain_warnings():
            command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        _drop_output()
    except Exception as error:
        if (sentence := explained(error)) is None:
            raise
        from reverie.text import printable  # its names may come from files

        lines = "\n".join(map(printable, sentence.split("\n")))
        print(f"Error: {lines}", file=sys.stderr)
        sys.exit(status)


def _search_working_folder() -> None:
    """Let module:factory name modules of the working folder; it comes last, so that it hides no package."""
    try:
        sys.path.append(os.getcwd())
    except FileNotFoundError:
        raise InputError("The working folder has been deleted; change to one that exists.") from None


def _drop_output() -> NoReturn:
    """End quietly when nobody reads the output any more, as with `reverie suites | head -1`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is flushed when Python ends
    sys.exit(ERROR)
