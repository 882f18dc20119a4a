"""Compile an update for a GPU that is only described, and count what it would launch and hold. Needs no GPU.

    pip install "reverie[gpu]"                       the compiler for CUDA, several GB; no driver is needed
    python -m benchmarks.ahead --size size1m size12m --input vector pixels

Launches per update, kernels per step of each loop, bytes of arguments and temporaries are exact and do not depend on
the machine. Time is not measured; a small model is bound by its launches, about 2 microseconds each. Without a device,
matrix products are not autotuned.
"""

import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

# JAX reads both when it starts: its check wants a driver, and its warnings would say that there is none.
os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import jax
import numpy as np
import tyro
from jax.experimental import topologies

from benchmarks.common import Input, Size, report, workload
from reverie.learner import TEXTBOOK
from reverie.nn import plain_convolutions
from reverie.tuned import best_forms

# Instructions that name values, for which nothing is launched.
FREE = {"parameter", "get-tuple-element", "tuple", "constant", "bitcast", "after-all", "copy-done", "opt-barrier"}
COLLECTIVES = {"all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute"}


@dataclass(frozen=True)
class Settings:
    """Count launches and bytes of every combination of size and input."""

    size: tuple[Size, ...] = ("size1m",)
    input: tuple[Input, ...] = ("vector",)
    form: Literal["tuned", "textbook"] = "tuned"
    """The forms that training takes on a GPU, or the equations as written."""
    batch: int = 16
    length: int = 64
    dump: Path | None = None
    """A folder for the compiled programs."""
    output: Path = Path("benchmarks/results")


def main(settings: Settings) -> None:
    place = described_gpu()
    rows = [count(settings, size, inputs, place) for size in settings.size for inputs in settings.input]
    report("ahead", settings, rows, settings.output)


def described_gpu() -> jax.sharding.Sharding:
    """Return a placement on one H100 that exists only as a description."""
    description = (Path(__file__).parent / "h100.txtpb").read_text()
    topology = topologies.get_topology_desc("h100", "cuda", target_config=description, topology="1x1x1")
    jax.config.update("jax_platforms", "cpu")  # computes the constants that tracing needs
    mesh = jax.sharding.Mesh(np.array(topology.devices), ("data",))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())


def count(settings: Settings, size: Size, inputs: Input, place: jax.sharding.Sharding) -> dict[str, Any]:
    """Compile one combination and return its counts."""
    learner, batch = workload(size, inputs, "bfloat16", settings.batch, settings.length, textbook=True)
    learner.forms = TEXTBOOK if settings.form == "textbook" else best_forms(learner.dtype, platform="gpu")
    key = jax.random.key(0)
    arguments = (jax.eval_shape(learner.init, key), batch, jax.eval_shape(lambda: key))
    described = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), arguments)
    with plain_convolutions():
        update = jax.jit(learner.update, donate_argnums=0, in_shardings=place, out_shardings=place)
        compiled = update.lower(*described).compile()
    text, memory = compiled.as_text(), compiled.memory_analysis()
    if settings.dump:
        settings.dump.mkdir(parents=True, exist_ok=True)
        (settings.dump / f"{size}-{inputs}-{settings.form}.txt").write_text(text)
    loops: list[tuple[int, int]] = []
    total = launches(text, lambda times, kernels: loops.append((times, kernels)))
    held = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    return {
        "size": size,
        "input": inputs,
        "form": settings.form,
        "launches": total,
        "outside of loops": loops[0][1],
        "loops": ", ".join(f"{times} × {kernels}" for times, kernels in loops[1:]),
        "collectives": sum(text.count(f" {name}(") + text.count(f" {name}-start(") for name in COLLECTIVES),
        "arguments MiB": memory.argument_size_in_bytes / 2**20,
        "temporaries MiB": memory.temp_size_in_bytes / 2**20,
        "GiB": held / 2**30,
    }


def launches(program: str, tell: Callable[[int, int], None]) -> int:
    """Return the kernels per call of a compiled program; tell the count and kernels of each loop, the entry first."""
    computations, entry = parse(program)

    def visit(name: str, times: int) -> int:
        kinds: Counter[str] = Counter()
        inner = []
        for line in computations[name]:
            kind = operation(line)
            if kind == "while":
                body = re.search(r"body=%?([\w.\-]+)", line)
                length = re.search(r'known_trip_count":\{"n":"(\d+)"', line)
                assert body is not None
                inner.append((body[1], int(length[1]) if length else 1))
            elif kind and kind not in FREE:
                kinds[kind] += 1
        each = kinds.total()
        tell(times, each)
        return each * times + sum(visit(body, times * length) for body, length in inner)

    return visit(entry, 1)


def parse(program: str) -> tuple[dict[str, list[str]], str]:
    """Return the instructions of each computation by its name, and the name of the entry."""
    found: dict[str, list[str]] = {}
    name = entry = ""
    for line in program.splitlines():
        head = re.match(r"^(ENTRY )?%?([\w.\-]+) ?(?:\(.*)?\{\s*$", line) if line and line[0] != " " else None
        if head:
            name = head[2]
            found[name] = []
            entry = name if head[1] else entry
        elif name and line.startswith("  "):
            found[name].append(line.strip())
    return found, entry


def operation(line: str) -> str:
    """Return the operation of an instruction; the type before it may be a nested tuple."""
    text = line.partition(" = ")[2]
    if text.startswith("("):
        depths = accumulate((letter == "(") - (letter == ")") for letter in text)
        text = text[next(at for at, depth in enumerate(depths) if depth == 0) + 1 :].strip()
    else:
        text = text.partition(" ")[2]
    match = re.match(r"[\w\-]+", text)
    return match[0] if match else ""


if __name__ == "__main__":
    main(tyro.cli(Settings, description=__doc__))
