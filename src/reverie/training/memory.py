"""How much memory or disk replay may use, and whether a run fits.

May import: `config`, `errors`, `replay`, `records`.
"""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import jax

from reverie.config import Config
from reverie.errors import InputError
from reverie.replay import Home, Replay
from reverie.training.records import records_to_write

UNITS = {"B": 1} | {
    f"{prefix}{unit}": base ** (power + 1)
    for unit, base in (("B", 1000), ("IB", 1024))
    for power, prefix in enumerate("KMGT")
}
CGROUP = Path("/sys/fs/cgroup")


class Room(NamedTuple):
    """The space that replay may use by default."""

    free: int | None  # bytes; None if unknown
    share: float  # the part of it that is for replay
    name: str


def room(home: Home, logdir: Path | None = None, *, latents: float = 0.0, keep: int = 1) -> Room:
    """The space that is free now in the replay buffer's home.

    On disk, checkpoints need more than the buffer itself: the records once, and the latents once for each checkpoint
    that is kept and for the one being written. Existing checkpoints of this run count as free.

    Args:
        home: where the buffer is kept.
        logdir: the run's folder, for "disk".
        latents: the latents' share of a record's bytes.
        keep: the number of checkpoints kept.
    """
    if home == "memory":
        return Room(free_memory(), 0.8, "the free memory")
    if home == "disk":
        folder = logdir or Path()
        saved = sum(path.stat().st_size for path in folder.glob("checkpoints/arrays/replay.*"))
        share = 0.95 / (1 + (1 - latents) + (keep + 1) * latents)
        return Room(
            shutil.disk_usage(_existing(folder)).free + saved, share, "the free disk space (checkpoints need the rest)"
        )
    return Room(_free_on_device(), 0.5, "the free device memory (training needs the rest)")


def budget(memory: str, room: Room) -> int | None:
    """The bytes that a setting such as "8GiB", "500 MB" or "auto" allows; None if "auto" can't know what is free.

    Raises:
        InputError: the setting is no size.
    """
    if memory == "auto":
        return None if room.free is None else int(room.share * room.free)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b)\s*", memory, re.IGNORECASE)
    if match is None or match[2].upper() not in UNITS:
        raise InputError(f"replay.memory must be 'auto' or a size such as '8GiB' or '500MB', got {memory!r}.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def check(needed_records: int, bytes_per_record: int, memory: str, room: Room, *, per_step: int = 1) -> None:
    """Check that this many records fit, of which a step needs `per_step`; each episode's last record comes on top.

    Raises:
        InputError: they do not fit; the message has the numbers and the ways to make them fit.
    """
    allowed = budget(memory, room)
    needed = needed_records * bytes_per_record
    if allowed is None or needed <= allowed:
        return
    fits = allowed // bytes_per_record
    limit = f"{room.share:.0%} of {room.name}" if memory == "auto" else "replay.memory"
    raise InputError(
        f"Replay needs at least {in_units(needed)} for {needed_records:,} records of {bytes_per_record:,} bytes, "
        f"but {limit} is {in_units(allowed)}. Keep fewer records with --replay-capacity {fits}, "
        f"train for at most {fits // per_step:,} steps, choose another --replay-home, "
        f"or allow more with --replay-memory {in_units(needed * 1.01).replace(' ', '')}."
    )


def check_replay(replay: Replay, config: Config, logdir: Path | None) -> None:
    """Check that the replay buffer has room to grow as large as this run makes it.

    Raises:
        InputError: it does not; the message has the numbers and the ways to make it fit.
    """
    settings, on_device = config.replay, config.replay.home == "device"
    latents = replay.nbytes_per_latent / replay.nbytes_per_record
    check(
        replay.capacity if on_device else min(records_to_write(config), settings.capacity),
        replay.nbytes_per_record,
        settings.memory,
        room(settings.home, logdir, latents=latents, keep=config.run.keep),
        per_step=2 if on_device else 1,
    )


def free_memory() -> int | None:
    """The bytes that a process can allocate without swapping or being killed; None if unknown."""
    free = [_meminfo(), _cgroup()]
    known = [number for number in free if number is not None]
    return min(known) if known else None


def in_use() -> dict[str, float]:
    """The bytes that this process uses in RAM and on its device, as metrics; unknown ones are left out."""
    stats = jax.local_devices()[0].memory_stats() or {}
    device = {"memory/device_bytes": float(stats["bytes_in_use"])} if "bytes_in_use" in stats else {}
    host = _resident()
    return device if host is None else {"memory/host_bytes": float(host), **device}


def in_units(count: float) -> str:
    """A number of bytes in a readable unit: 1.23 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _existing(path: Path) -> Path:
    """The path itself, or its nearest parent that exists."""
    return next(found for found in (path.absolute(), *path.absolute().parents) if found.exists())


def _free_on_device() -> int | None:
    """The device's free memory; a device without statistics shares the host's memory."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return free_memory()
    return int(stats["bytes_limit"] - stats["bytes_in_use"])


def _resident() -> int | None:
    """The process's resident memory; its peak where the system reports nothing else."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _cgroup() -> int | None:
    """The memory left in this container; cached files that can be dropped at once count as free."""
    return _cgroup_free(CGROUP, "memory.max", "memory.current", "inactive_file") or _cgroup_free(
        CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    )


def _cgroup_free(folder: Path, most: str, taken: str, cached: str) -> int | None:
    """The same from the files of cgroup version 2 or 1; None if there is no limit."""
    try:
        limit = (folder / most).read_text().strip()
        if limit == "max":
            return None
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(1, int(limit) - int((folder / taken).read_text()) + int(stat[cached]))
    except (OSError, ValueError, KeyError):
        return None
