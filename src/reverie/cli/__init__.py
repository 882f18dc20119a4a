"""The command line, a file per command, thin over the public API. May import: everything, when a command needs it."""

import os
import sys
from collections.abc import Sequence

from reverie.cli.parsing import parse
from reverie.cli.plot import Plot
from reverie.cli.report import Report
from reverie.errors import ReverieError

__all__ = ["main"]
ERROR, USAGE, INTERRUPTED = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command. What a person can fix is reported in a sentence, without a traceback; see `reverie --help` for
    the exit status."""
    sys.path.append(os.getcwd())  # for module:factory; last, so that nothing there hides a package
    status = USAGE
    try:
        command = parse(sys.argv[1:] if arguments is None else arguments)
        status = ERROR
        if not isinstance(command, Plot | Report):  # they need no JAX
            _keep_compiled()
        command()
    except (ReverieError, OSError) as error:
        if getattr(error, "__notes__", None):
            raise  # an environment's own, whose traceback helps
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(status)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _keep_compiled() -> None:
    """Keep what XLA compiles in the user's cache folder, unless JAX has another one: the next start is quick."""
    import jax

    if not jax.config.values["jax_compilation_cache_dir"]:
        from pathlib import Path

        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(cache / "reverie" / "compiled"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
