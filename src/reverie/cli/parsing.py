"""From arguments to a command that is ready to be called. May import: the commands of this room."""

import difflib
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

import tyro

from reverie import __version__
from reverie.cli.benchmark import Benchmark
from reverie.cli.configured import Configured, Settings
from reverie.cli.dashboard import Dashboard
from reverie.cli.demo import Demo
from reverie.cli.doctor import Doctor
from reverie.cli.evaluate import Eval
from reverie.cli.export import Export
from reverie.cli.flags import CHECKED, MARKERS, UNCHECKED, completed
from reverie.cli.inspect import Inspect
from reverie.cli.plot import Plot
from reverie.cli.record import Record
from reverie.cli.replay import Replay
from reverie.cli.report import Report
from reverie.cli.resume import Resume
from reverie.cli.suites import Suites
from reverie.cli.train import Train
from reverie.config import ELSEWHERE
from reverie.errors import InputError

COMMANDS: dict[str, Any] = {
    "train": Train,
    "resume": Resume,
    "eval": Eval,
    "plot": Plot,
    "report": Report,
    "record": Record,
    "export": Export,
    "replay": Replay,
    "benchmark": Benchmark,
    "inspect": Inspect,
    "dashboard": Dashboard,
    "suites": Suites,
    "demo": Demo,
    "doctor": Doctor,
}

DESCRIPTION = """DreamerV3 for any Gymnasium environment.

reverie COMMAND --help describes a command, reverie --version prints the version.

Exit status: 0 done; 1 an error, or the newest state of a run is not on disk; 2 the command line is wrong; 75 a signal \
such as SIGTERM ended a run, which is saved: repeat the command to resume it; 130 Ctrl-C.

Compiled programs are cached, by default in ~/.cache/reverie; REVERIE_COMPILE_CACHE=0 turns the cache off."""


def parse(arguments: Sequence[str]) -> Any:
    """The command that the arguments describe; call it to run it.

    Raises:
        InputError: a value is not allowed.
        SystemExit: after printing a help text, the version, or what is wrong with the arguments.
    """
    if arguments and arguments[0] in COMMANDS:
        name, *rest = arguments
        return completed(_filled_in(COMMANDS[name], f"reverie {name}", rest))
    if "--version" in arguments:
        print(f"reverie {__version__}")
        raise SystemExit(0)
    if arguments and not arguments[0].startswith("-"):
        close = difflib.get_close_matches(arguments[0], COMMANDS, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        known = f"The commands are {', '.join(COMMANDS)}; reverie --help describes them"
        raise InputError(f"There is no command {arguments[0]!r}{hint} {known}.")
    return tyro.extras.subcommand_cli_from_dict(
        COMMANDS, prog="reverie", description=DESCRIPTION, args=arguments, config=MARKERS, registry=CHECKED
    )


def _filled_in(kind: Any, prog: str, arguments: Sequence[str]) -> Any:
    _check_names(kind, prog, arguments)
    default = _defaults(kind, arguments) if hasattr(kind, "with_defaults") else tyro.MISSING_NONPROP
    return tyro.cli(kind, prog=prog, default=default, args=arguments, config=MARKERS, registry=CHECKED)


def _check_names(kind: Any, prog: str, arguments: Sequence[str]) -> None:
    """Point from the flags of other libraries to the one that the command has."""
    if not issubclass(kind, Settings):
        return
    for flag in (one.partition("=")[0] for one in arguments if one.startswith("--")):
        name = flag.removeprefix("--").replace("-", "_")
        if name in ELSEWHERE:
            ours = f"--{ELSEWHERE[name].replace('_', '-')}"
            raise InputError(
                f"There is no {flag}; did you mean {ours}? All flags: reverie {kind.__name__.lower()} --help."
            )
        if name == "env" and issubclass(kind, Configured):
            raise InputError(f"The environment is named without a flag: reverie {kind.__name__.lower()} CartPole-v1.")


def _defaults(kind: type[Configured | Resume], arguments: Sequence[str]) -> Any:
    """The settings that the flags override, which depend on other arguments; nothing if the arguments are wrong, as
    they are read again and reported then."""
    without_help = [one for one in arguments if one not in ("-h", "--help")]
    try:
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            given: Any = tyro.cli(kind, args=without_help, config=MARKERS, registry=UNCHECKED)
    except SystemExit:
        return tyro.MISSING_NONPROP
    return kind.with_defaults(given)
