"""Shared by all benchmarks: a workload, the machine's peak, FLOP counts, and the report."""

import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from reverie.compiling import compiler_options
from reverie.config import Config, ModelConfig
from reverie.experience import Experience
from reverie.learner import TEXTBOOK, Learner, compute_dtype
from reverie.nn import Conv, UpsampleConv
from reverie.presets import SIZES
from reverie.spaces import Continuous, Discrete, Feature, Image
from reverie.tuned import best_forms

Size = Literal["tiny", "size1m", "size12m", "size25m", "size50m", "size100m", "size200m", "size400m"]
Input = Literal["vector", "pixels", "both"]
Dtype = Literal["auto", "float32", "bfloat16"]

# Tiny is for trying a benchmark out.
MODELS = {"tiny": ModelConfig(deter=32, hidden=8, classes=4, units=16, groups=4, blocks=4), **SIZES}


def workload(
    size: Size | ModelConfig,
    inputs: Input,
    dtype: Dtype = "auto",
    batch: int = 16,
    length: int = 64,
    *,
    textbook: bool = False,
) -> tuple[Learner, Experience]:
    """A learner and a random batch: 24 numbers and 6 continuous actions, or 64×64×3 images and 17 discrete actions."""
    rng = np.random.default_rng(0)
    shape = (batch, length + 1)
    observations: dict[str, Feature] = {}
    observation: dict[str, np.ndarray] = {}
    if inputs in ("vector", "both"):
        observations["vector"] = Continuous((24,))
        observation["vector"] = rng.normal(size=(*shape, 24)).astype(np.float32)
    if inputs in ("pixels", "both"):
        observations["image"] = Image((64, 64, 3))
        observation["image"] = rng.integers(0, 256, (*shape, 64, 64, 3), dtype=np.uint8)
    actions: dict[str, Continuous | Discrete]
    if inputs == "vector":
        actions, action = {"action": Continuous((6,))}, rng.normal(size=(*shape, 6)).astype(np.float32)
    else:
        actions, action = {"action": Discrete((), 17)}, rng.integers(0, 17, shape).astype(np.int32)
    config = Config()
    config = replace(
        config,
        model=replace(MODELS[size] if isinstance(size, str) else size, compute_dtype=dtype),
        replay=replace(config.replay, batch=batch, length=length),
    )
    flags = np.zeros(shape, bool)
    experience = Experience(
        observation=observation,
        action={"action": action},
        reward=rng.normal(size=shape).astype(np.float32),
        is_first=flags,
        is_last=flags,
        is_terminal=flags,
        deter=np.asarray(rng.uniform(-1, 1, (*shape, config.model.deter)), jnp.bfloat16),
        stoch=rng.integers(0, config.model.classes, (*shape, config.model.groups)).astype(np.uint8),
    )
    forms = TEXTBOOK if textbook else best_forms(compute_dtype(config.model))
    return Learner(observations, actions, config, forms), jax.device_put(experience)


def compiled_update(learner: Learner) -> Callable[..., Any]:
    """The update, compiled as training does it."""
    return jax.jit(learner.update, donate_argnums=0, compiler_options=compiler_options())


class LiteralUpsampleConv(Conv):
    """`UpsampleConv` as the paper writes it: repeat every pixel, then convolve."""

    def __init__(self, layer: UpsampleConv):
        self.weight, self.bias = layer.weight, layer.bias

    def __call__(self, x: Any) -> Any:
        return super().__call__(jnp.repeat(jnp.repeat(x, 2, axis=-2), 2, axis=-3))


def literal(networks: Any) -> Any:
    """The same parameters in layers that compute what the paper writes; trace under `plain_convolutions`."""
    is_layer = lambda node: isinstance(node, UpsampleConv)  # noqa: E731
    return jax.tree.map(lambda x: LiteralUpsampleConv(x) if is_layer(x) else x, networks, is_leaf=is_layer)


def milliseconds(function: Callable[[], Any], repeats: int) -> list[float]:
    """Wall time of each call, including its wait for the device."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(function())
        times.append(1e3 * (time.perf_counter() - start))
    return times


def pipelined(function: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Time calls that don't wait for each other, as in training: the time per call, and the time to dispatch one."""
    start = time.perf_counter()
    outputs = [function() for _ in range(repeats)]
    dispatched = time.perf_counter()
    jax.block_until_ready(outputs)
    ended = time.perf_counter()
    return {"queued ms": 1e3 * (ended - start) / repeats, "dispatch ms": 1e3 * (dispatched - start) / repeats}


def quartiles(times: Sequence[float]) -> dict[str, float]:
    low, median, high = np.percentile(times, [25, 50, 75])
    return {"min": min(times), "q25": low, "median": median, "q75": high}


def peak_gflops(dtype: Any, side: int | None = None) -> float:
    """The speed of a large square matrix product in this process, in 1e9 operations per second."""
    side = side or (2048 if jax.default_backend() == "cpu" else 8192)
    a = jax.random.normal(jax.random.key(0), (side, side)).astype(dtype)
    product = jax.jit(lambda a: a @ a)
    milliseconds(lambda: product(a), 2)
    return 2 * side**3 / min(milliseconds(lambda: product(a), 8)) / 1e6


def gflop(function: Callable[..., Any], *arguments: Any) -> float:
    """Operations in the matrix products and convolutions of a function, in 1e9, with loop bodies times their length.

    XLA's own cost analysis counts a loop body once.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr) / 1e9


def _count(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, out = equation.primitive.name, equation.outvars[0].aval if equation.outvars else None
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            inner = np.prod([equation.invars[0].aval.shape[axis] for axis in contracted])
            total += 2 * inner * np.prod(out.shape)
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            outputs = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
            total += 2 * np.prod(out.shape) * np.prod(kernel) / outputs
        else:
            times = equation.params.get("length", 1) if name == "scan" else 1
            for inner_jaxpr in _inner(equation.params):
                total += times * _count(inner_jaxpr)
    return total


def _inner(params: Mapping[str, Any]) -> list[Any]:
    found = []
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            jaxpr = getattr(item, "jaxpr", item)
            if hasattr(jaxpr, "eqns"):
                found.append(jaxpr)
    return found


def host_memory() -> float:
    """Peak resident memory of this process in MiB."""
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 2**20


def device_memory() -> float | None:
    """Peak memory allocated on the device in MiB; None if the device does not report it."""
    stats = jax.devices()[0].memory_stats() or {}
    return stats["peak_bytes_in_use"] / 2**20 if "peak_bytes_in_use" in stats else None


def machine() -> dict[str, Any]:
    """The machine and the versions that the numbers were measured with."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "device": jax.devices()[0].device_kind,
        "processor": _processor(),
        "cores": cores,
        "python": platform.python_version(),
        "jax": jax.__version__,
        "load": os.getloadavg()[0],  # in the last minute; distrust numbers if other work was running
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def report(name: str, settings: Any, rows: list[dict[str, Any]], output: Path) -> None:
    """Print rows as a Markdown table and write everything as JSON."""
    columns = list(dict.fromkeys(key for row in rows for key in row if not isinstance(row[key], list)))
    print(f"\n| {' | '.join(columns)} |\n|{' --- |' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(_cell(row.get(column)) for column in columns)} |")
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.json"
    settings = asdict(settings) if is_dataclass(settings) and not isinstance(settings, type) else settings
    data = {"benchmark": name, "machine": machine(), "settings": settings, "rows": rows}
    path.write_text(json.dumps(data, indent=2, default=str) + "\n")
    print(f"\n{path}")


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return "" if value is None else str(value)


def spread(ratios: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and mean of ratios."""
    low, median, high = np.percentile(ratios, [25, 50, 75])
    return {"ratio": float(median), "q25": float(low), "q75": float(high), "mean": statistics.fmean(ratios)}
