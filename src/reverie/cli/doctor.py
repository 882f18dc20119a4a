"""`reverie doctor`: what Reverie finds on this machine, and what to do about what is missing.

May import: everything below `cli`.
"""

import os
import platform
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from reverie import __version__
from reverie.cli.messages import explained
from reverie.errors import ReverieError

PACKAGES = ("jax", "jaxlib", "equinox", "optax", "numpy", "gymnasium", "safetensors")
NOT_FOR_USERS = ("dev", "test")
DRIVER = Path("/proc/driver/nvidia/version")  # is there where NVIDIA's driver is loaded

# A matrix product slower than this, in operations per second, points to a fault or to a machine that is busy.
SLOWEST = {"cpu": 2e9, "gpu": 1e12, "tpu": 1e12}


class Finding(NamedTuple):
    """One line of the answer."""

    state: Literal["ok", "note", "problem"]
    subject: str
    text: str


class UnhealthyError(ReverieError):
    """Something that Reverie needs does not work."""


@dataclass(frozen=True)
class Doctor:
    """Check this installation: devices, speed, the compilation cache, and which extras are installed."""

    def __call__(self) -> None:
        problems = []
        for finding in examine():
            print(f"{finding.state:8} {finding.subject:18} {finding.text}", flush=True)
            if finding.state == "problem":
                problems.append(finding.subject)
        if problems:
            raise UnhealthyError(f"This installation has a problem with its {' and its '.join(problems)}; see above.")


def examine() -> Iterator[Finding]:
    """Everything that the command reports."""
    yield Finding("ok", "python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    yield Finding("ok", "reverie", __version__)
    yield Finding("ok", "packages", ", ".join(f"{name} {_version(name)}" for name in PACKAGES))
    yield from _devices()
    yield _cache()
    yield from _extras()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _devices() -> Iterator[Finding]:
    """The devices that JAX computes on, their memory, and whether they compute fast and correctly."""
    import jax

    try:
        devices = jax.devices()
    except Exception as error:
        yield Finding("problem", "devices", explained(error) or f"{type(error).__name__}: {error}")
        return
    yield Finding("ok", "devices", f"{len(devices)} × {devices[0].device_kind}, platform {_platform(devices[0])}")
    yield Finding("ok", "processor", f"{_cores()} of {os.cpu_count()} cores usable")
    yield _memory(devices[0])
    if DRIVER.exists():
        yield _driver(devices[0].platform)
    yield _speed(devices[0].platform)


def _platform(device: Any) -> str:
    """The platform, with its version where that says more: "gpu (cuda 12090)"."""
    said = " ".join(device.client.platform_version.split())
    return device.platform if said == device.platform else f"{device.platform} ({said})"


def _cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory(device: Any) -> Finding:
    from reverie.training.memory import free_memory, in_units

    stats, free = device.memory_stats() or {}, free_memory()
    parts = [f"{in_units(free)} of RAM free"] if free else []
    if "bytes_limit" in stats:
        parts.append(f"{in_units(stats['bytes_limit'] - stats['bytes_in_use'])} of the device's free")
    return Finding("ok", "memory", ", ".join(parts) or "unknown")


def _driver(platform: str) -> Finding:
    """NVIDIA's driver, and whether JAX uses it."""
    text = DRIVER.read_text(encoding="utf-8", errors="replace")
    number = re.search(r"\d+\.\d+(\.\d+)?", text)
    name = f"NVIDIA {number[0] if number else 'of unknown version'}"
    if platform == "cpu" and os.environ.get("JAX_PLATFORMS", "") != "cpu":
        return Finding("problem", "driver", f"{name}, but JAX computes on the CPU: {_command('gpu')}")
    return Finding("ok", "driver", name)


def _speed(platform: str) -> Finding:
    """The rate of a matrix product in the precision that training uses, and whether its result is right."""
    import jax
    import jax.numpy as jnp

    size, kind = (1024, jnp.float32) if platform == "cpu" else (8192, jnp.bfloat16)
    ones = jnp.ones((size, size), kind)
    product = jax.jit(lambda x, y: x @ y)
    right = bool((product(ones, ones) == size).all())
    seconds = min(_seconds(lambda: product(ones, ones).block_until_ready()) for _ in range(5))
    rate = 2 * size**3 / seconds
    text = f"{rate / 1e9:,.0f} GFLOP/s in a {jnp.dtype(kind).name} matrix product of {size} × {size}"
    if not right:
        return Finding("problem", "speed", f"{text}, and its result is WRONG: the device or its driver is faulty")
    if rate < SLOWEST.get(platform, 0):
        return Finding("problem", "speed", f"{text}, far less than expected: is the machine busy or throttled?")
    return Finding("ok", "speed", text)


def _seconds(action: Any) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def _cache() -> Finding:
    """Where compiled programs are cached, and how much there is."""
    from reverie.compiling import CACHE_SWITCH, use_cache
    from reverie.training.memory import in_units

    folder = use_cache()
    if folder is None:
        why = f"{CACHE_SWITCH} is 0" if os.environ.get(CACHE_SWITCH) == "0" else "this user has no home folder"
        return Finding("note", "compile cache", f"off, because {why}: every start compiles again")
    files = [path.stat().st_size for path in folder.glob("*") if path.is_file()]
    size = f"{len(files)} files, {in_units(sum(files))}" if files else "empty"
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return Finding("problem", "compile cache", f"'{folder}' is not writable; set XDG_CACHE_HOME to one that is")
    return Finding("ok", "compile cache", f"'{folder}': {size}; off with {CACHE_SWITCH}=0, safe to delete")


def _extras() -> Iterator[Finding]:
    """Every extra: installed, or how to install it."""
    try:
        found = distribution("reverie")
    except PackageNotFoundError:
        yield Finding("note", "extras", "unknown, as Reverie runs from its sources without being installed")
        return
    for extra, packages in sorted(needs(found).items()):
        missing = [name for name in packages if _version(name) == "missing"]
        text = f"{', '.join(missing)} missing: {_command(extra)}" if missing else "installed"
        yield Finding("note" if missing else "ok", f"extra {extra}", text)


def needs(reverie: Distribution) -> dict[str, list[str]]:
    """The packages of each extra that is for users."""
    extras = set(reverie.metadata.get_all("Provides-Extra") or ()) - set(NOT_FOR_USERS)
    found: dict[str, list[str]] = {extra: [] for extra in extras}
    for requirement in reverie.requires or ():
        name, _, condition = requirement.partition(";")
        extra = re.search(r"extra == ['\"]([\w-]+)", condition)
        if extra and extra[1] in extras:
            found[extra[1]].append(_package(name))
    return found


def _package(requirement: str) -> str:
    """The package that a requirement installs; for JAX with CUDA, the plugin that comes with it."""
    if requirement.startswith("jax[cuda12]"):
        return "jax-cuda12-plugin"
    return re.split(r"[^\w.-]", requirement.strip(), maxsplit=1)[0]


def _command(extra: str) -> str:
    return f"pip install 'reverie[{extra}]'"
