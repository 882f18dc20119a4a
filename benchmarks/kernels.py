"""The kernels of a profile: how long each took, and how often it ran."""

import gzip
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

# Events between a CPU's kernels.
BOOKKEEPING = ("ThreadpoolListener", "ThunkExecutor", "end: ")


class Kernel(NamedTuple):
    """One kernel, with all its calls."""

    name: str
    calls: int
    milliseconds: float


def profiled(action: Callable[[], Any], file: Path) -> list[Kernel]:
    """Run an action under JAX's profiler and return its kernels; the compressed profile is kept in a file."""
    with tempfile.TemporaryDirectory() as folder:  # the profiler nests its own folders
        with jax.profiler.trace(folder):
            action()
        data = next(Path(folder).rglob("*.xplane.pb")).read_bytes()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(data))
    return kernels(jax.profiler.ProfileData.from_serialized_xspace(data))


def kernels(profile: Any) -> list[Kernel]:
    """Return the kernels of a profile, the longest in total first: those of GPUs, or of the CPU if there is none."""
    spent: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for line in _lines(list(profile.planes)):
        for event in line.events:
            if event.name.startswith(BOOKKEEPING):
                continue
            spent[event.name] += event.duration_ns / 1e6
            calls[event.name] += 1
    return [Kernel(name, calls[name], spent[name]) for name in sorted(spent, key=lambda name: -spent[name])]


def _lines(planes: Sequence[Any]) -> Iterator[Any]:
    """The lines that hold kernels. A GPU's other lines repeat its streams, grouped by program and by operation."""
    gpus = [plane for plane in planes if plane.name.startswith("/device:GPU")]
    for plane in gpus:
        yield from (line for line in plane.lines if line.name.startswith("Stream"))
    for plane in () if gpus else planes:
        yield from (line for line in plane.lines if line.name.startswith("tf_XLA"))


def table(found: Sequence[Kernel], updates: int, top: int = 25) -> str:
    """Return the longest kernels as a Markdown table."""
    rows = [f"| {one.milliseconds / updates:.3f} | {one.calls / updates:g} | {one.name[:110]} |" for one in found[:top]]
    return "\n".join(["| ms per update | calls | kernel |", "| --- | --- | --- |", *rows])
