"""Measure one update: time to the first, milliseconds, FLOPs, share of peak, memory; with --profile also kernels."""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import tyro

from benchmarks.common import (
    Dtype,
    Input,
    Size,
    compiled_update,
    device_memory,
    gflop,
    host_memory,
    literal,
    milliseconds,
    peak_gflops,
    pipelined,
    quartiles,
    report,
    workload,
)
from benchmarks.kernels import profiled, table
from reverie.nn import plain_convolutions


@dataclass(frozen=True)
class Settings:
    """Time the update for each combination of settings, each in its own process with an empty compile cache."""

    size: tuple[Size, ...] = ("size1m",)
    input: tuple[Input, ...] = ("vector",)
    dtype: tuple[Dtype, ...] = ("auto",)
    batch: int = 16
    length: int = 64
    repeats: int = 20
    """Number of timed updates, after two untimed ones."""
    textbook: bool = False
    """Use the literal form instead of the forms tuned for a CPU."""
    profile: Path | None = None
    """Folder for a profile of three updates, one file for each combination; the kernels that take longest are printed,
    and how many there are, compared with the count that benchmarks.ahead makes."""
    cache: Path | None = None
    """A compile cache to share with other processes. A cold start is not measured then; with --repeats 0, nothing but
    compilation is done."""
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    rows = []
    for size in settings.size:
        for inputs in settings.input:
            for dtype in settings.dtype:
                case = {"size": size, "input": inputs, "dtype": dtype, "textbook": settings.textbook}
                case |= {"batch": settings.batch, "length": settings.length, "repeats": settings.repeats}
                rows.append({**case, **_starts_and_times(case, settings)})
    report("update", settings, rows, settings.output)


def _starts_and_times(case: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Measure in a process with an empty compile cache, then in one that finds its program there."""
    if settings.cache:
        warm = _in_process(case, str(settings.cache), settings.profile)
        return {"first s": warm.pop("first"), **warm}
    with tempfile.TemporaryDirectory() as cache:
        cold = _in_process(case | {"repeats": 0}, cache, None)
        warm = _in_process(case, cache, settings.profile)
    return {"first cold s": cold["first"], "first warm s": warm.pop("first"), **warm}


def _in_process(case: dict[str, Any], cache: str, profile: Path | None) -> dict[str, Any]:
    """Measure in a new process that uses the given folder as its compile cache."""
    command = [sys.executable, "-m", "benchmarks.update", "--case", json.dumps(case), str(profile or "")]
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": cache,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    *told, result = done.stdout.splitlines()
    print("\n".join(told), flush=True)
    return dict(json.loads(result))


def measure(case: dict[str, Any], profile: Path | None) -> dict[str, Any]:
    """All numbers for one combination, measured in this process."""
    with plain_convolutions() if case["textbook"] else nullcontext():
        return _measure(case, profile)


def _measure(case: dict[str, Any], profile: Path | None) -> dict[str, Any]:
    start = time.perf_counter()
    load = [case[name] for name in ("size", "input", "dtype", "batch", "length")]
    learner, batch = workload(*load, textbook=case["textbook"])
    key = jax.random.key(1)
    state = learner.fresh(jax.random.key(0))
    if case["textbook"]:
        state = state._replace(networks=literal(state.networks))
    compiled = compiled_update(learner).lower(state, batch, key).compile()

    def update() -> Any:
        nonlocal state
        state, output = compiled(state, batch, key)
        return state, output

    jax.block_until_ready(update())
    result: dict[str, Any] = {"first": time.perf_counter() - start}
    if not case["repeats"]:
        return result
    milliseconds(update, 2)
    times = milliseconds(update, case["repeats"])
    queued = pipelined(lambda: update()[1], 2 * case["repeats"])
    peak = peak_gflops(learner.dtype)
    work = useful_gflop(*load)
    middle = quartiles(times)
    result |= {f"{name} ms": value for name, value in middle.items()}
    result |= {
        **queued,
        "GFLOP": work,
        "XLA's GFLOP": compiled.cost_analysis().get("flops", 0.0) / 1e9,
        "peak GFLOP/s": peak,
        "share of peak": work / (queued["queued ms"] / 1e3) / peak,
        "host MiB": host_memory(),
        "device MiB": device_memory(),
        "times": times,
    }
    if profile:
        name = "-".join(str(case[part]) for part in ("size", "input", "dtype")) + "-textbook" * case["textbook"]
        kernels = profiled(lambda: milliseconds(update, 3), profile / f"{name}.xplane.pb.gz")
        result |= {"launches": sum(kernel.calls for kernel in kernels) / 3, "launches counted": _counted(compiled)}
        print(table(kernels, updates=3))
    return result


def _counted(compiled: Any) -> int:
    """Count the launches of a program from its text, as `benchmarks.ahead` does for a GPU that is not there."""
    from benchmarks.ahead import launches  # sets variables for JAX, which has read them by now

    return launches(compiled.as_text(), lambda times, each: None)


def useful_gflop(*load: Any) -> float:
    """Count the operations of the equations as written, without the zeros that tuned forms multiply."""
    learner, batch = workload(*load, textbook=True)
    state = jax.eval_shape(learner.init, jax.random.key(0))
    state = state._replace(networks=literal(state.networks))
    with plain_convolutions():
        return gflop(learner.update, state, batch, jax.random.key(1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--case"]:
        print(json.dumps(measure(json.loads(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None)))
    else:
        main(tyro.cli(Settings, description=__doc__))
