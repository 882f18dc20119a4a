"""What `reverie doctor` finds out about devices: drivers, memory, precision and speed.

May import: everything below `cli`.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from reverie.cli.messages import explained
from reverie.devices import BFLOAT16_SINCE, best_dtype, capability, preallocates, precision

DRIVER = Path("/proc/driver/nvidia/version")  # is there where NVIDIA's driver is loaded
QUERY = "index,name,memory.free,memory.total,utilization.gpu"  # of nvidia-smi

# A matrix product slower than this, in operations per second, points to a fault or to a machine that is busy.
SLOWEST = {"cpu": 2e9, "gpu": 1e12, "tpu": 1e12}


class Finding(NamedTuple):
    """One line of the answer."""

    state: Literal["ok", "note", "problem"]
    subject: str
    text: str


def install_command(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'reverie[{extra}]'"


def examine_devices() -> Iterator[Finding]:
    """The devices that JAX computes on, their memory, and whether they compute fast and correctly."""
    import jax

    try:
        devices = jax.devices()
    except Exception as error:
        yield Finding("problem", "devices", explained(error) or f"{type(error).__name__}: {error}")
        return
    yield Finding("ok", "devices", f"{len(devices)} × {devices[0].device_kind}, platform {_platform(devices[0])}")
    yield Finding("ok", "processor", f"{_cores()} of {os.cpu_count()} cores usable")
    if DRIVER.exists():
        yield _driver(devices[0].platform)
    yield from _gpus()
    yield from _memory(devices[0])
    yield from _precision(devices[0])
    yield _speed(devices[0])


def _platform(device: Any) -> str:
    """The platform, with its version where that says more: "gpu (cuda 12090)"."""
    said = " ".join(device.client.platform_version.split())
    return device.platform if said == device.platform else f"{device.platform} ({said})"


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> Iterator[Finding]:
    """Every NVIDIA GPU of the machine, with the memory that no process uses."""
    from reverie.training.memory import in_units

    if shutil.which("nvidia-smi") is None:
        return
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding("note", "gpus", f"unknown, as nvidia-smi failed: {error}")
        return
    for line in answer.strip().splitlines():
        number, name, free, total, load = (field.strip() for field in line.split(","))
        sizes = [in_units(int(size) * 2**20) if size.isdigit() else "?" for size in (free, total)]
        busy = f", {load}% busy" if load.isdigit() else ""  # unknown for a part of a GPU
        yield Finding("ok", f"gpu {number}", f"{name}: {' of '.join(sizes)} free{busy}")


def _memory(device: Any) -> Iterator[Finding]:
    """What is free, and how this process shares a GPU with others."""
    from reverie.training.memory import free_memory, in_units

    free = free_memory()
    yield Finding("ok", "memory", f"{in_units(free)} of RAM free" if free else "unknown")
    if "bytes_limit" not in (stats := device.memory_stats() or {}):
        return
    most = f"at most {in_units(stats['bytes_limit'])} per process"
    if preallocates():
        yield Finding("note", "device memory", f"{most}, taken at once: a second process may fail")
    else:
        yield Finding("ok", "device memory", f"{most}, allocated as needed: several processes share the device")


def _precision(device: Any) -> Iterator[Finding]:
    """The dtype that `auto` selects, and what float32 means on this device."""
    chosen, number = best_dtype(device), capability(device)
    text = f"model.compute_dtype auto is {chosen}"
    if number is not None:
        text += f" (compute capability {number:g}; bfloat16 from {BFLOAT16_SINCE:g})"
    yield Finding("ok", "precision", text)
    if (full := precision("float32", device)) != "float32":
        yield Finding("note", "float32", f"is {full}; JAX_DEFAULT_MATMUL_PRECISION=float32 computes in full")


def _driver(platform: str) -> Finding:
    """NVIDIA's driver, and whether JAX uses it."""
    text = DRIVER.read_text(encoding="utf-8", errors="replace")
    number = re.search(r"\d+\.\d+(\.\d+)?", text)
    name = f"NVIDIA {number[0] if number else 'of unknown version'}"
    if platform == "cpu" and os.environ.get("JAX_PLATFORMS", "") != "cpu":
        return Finding("problem", "driver", f"{name}, but JAX computes on the CPU: {install_command('gpu')}")
    return Finding("ok", "driver", name)


def _speed(device: Any) -> Finding:
    """The rate of a matrix product in the precision that training uses, and whether its result is right."""
    import jax
    import jax.numpy as jnp

    size, kind = 1024 if device.platform == "cpu" else 8192, jnp.dtype(best_dtype(device))
    ones = jnp.ones((size, size), kind)
    product = jax.jit(lambda x, y: x @ y)
    right = bool((product(ones, ones) == size).all())
    seconds = min(_seconds(lambda: product(ones, ones).block_until_ready()) for _ in range(5))
    rate = 2 * size**3 / seconds
    text = f"{rate / 1e9:,.0f} GFLOP/s in a {kind.name} matrix product of {size} × {size}"
    if not right:
        return Finding("problem", "speed", f"{text}, and its result is WRONG: the device or its driver is faulty")
    if rate < SLOWEST.get(device.platform, 0):
        return Finding("problem", "speed", f"{text}, far less than expected: is the machine busy or throttled?")
    return Finding("ok", "speed", text)


def _seconds(action: Any) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
