"""How a command reports exceptions and warnings: in a sentence, where that helps. May import: `errors`."""

import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from reverie.errors import ReverieError

OUT_OF_MEMORY = (
    "out of memory. Choose a smaller --size, a smaller --replay.batch or fewer --envs; or move the replay buffer with "
    "--replay-home."
)


def explained(error: Exception) -> str | None:
    """A sentence for what a person can fix; None for a bug of Reverie or of an environment, whose traceback helps."""
    if isinstance(error, ReverieError):
        return " ".join([str(error), *_remarks(error)])
    if isinstance(error, MemoryError) or (_is_of_jax(error) and "RESOURCE_EXHAUSTED" in str(error)):
        return OUT_OF_MEMORY
    if _starts_jax(error):
        chosen = os.environ.get("JAX_PLATFORMS")
        why = f", as JAX_PLATFORMS is '{chosen}': unset it, or install that platform" if chosen else ""
        return f"JAX finds no device to compute on{why}. {' '.join(str(error).split())}".strip()
    if isinstance(error, OSError) and not _is_an_environments(error):
        where = f": '{error.filename}'" if error.filename is not None else ""
        return f"{error.strerror or error}{where}."
    return None


@contextmanager
def plain_warnings() -> Iterator[None]:
    """Inside, Reverie's warnings are printed as sentences, without the line of code that gave them."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if category.__module__.startswith("reverie."):
                print(f"Warning: {message}", file=sys.stderr)
            else:
                usual(message, category, *where, **more)

        warnings.showwarning = show
        yield


def _remarks(error: Exception) -> list[str]:
    """Notes of one line. Longer ones are other processes' tracebacks, and JAX's about hidden frames."""
    return [note for note in getattr(error, "__notes__", ()) if "\n" not in note.strip()]


def _is_an_environments(error: Exception) -> bool:
    """Whether an error comes out of an environment's own code, as a note on it says."""
    return any("environment" in note for note in getattr(error, "__notes__", ()))


def _starts_jax(error: Exception) -> bool:
    """Whether an error was raised where JAX looks for devices."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and Path(frames[-1].filename).name == "xla_bridge.py"


def _is_of_jax(error: Exception) -> bool:
    return type(error).__name__ in ("JaxRuntimeError", "XlaRuntimeError")
