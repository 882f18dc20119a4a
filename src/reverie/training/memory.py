"""How much room replay may take where it is kept, and whether it does. May import: `errors`, `replay`."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import jax

from reverie.errors import InputError
from reverie.replay import Home

UNITS = {"B": 1} | {
    f"{prefix}{unit}": base ** (power + 1)
    for unit, base in (("B", 1000), ("IB", 1024))
    for power, prefix in enumerate("KMGT")
}
CGROUP = Path("/sys/fs/cgroup")


class Room(NamedTuple):
    """What there is for replay, unless the user says otherwise."""

    free: int | None  # bytes; None where nobody says
    share: float  # of these, for replay
    name: str


def room(home: Home, logdir: Path | None = None, *, latents: float = 0.0, keep: int = 1) -> Room:
    """Of the place where replay is kept, at this moment.

    On a disk checkpoints take more of it than replay itself: records once, latents once in each that is kept and in the
    one that is being written. What those of this run take already is free to them.

    Args:
        home: where.
        logdir: the run's folder, whose disk it is.
        latents: their share of a record's bytes.
        keep: checkpoints kept.
    """
    if home == "memory":
        return Room(free_memory(), 0.8, "the memory that is free")
    if home == "disk":
        folder = logdir or Path()
        saved = sum(path.stat().st_size for path in folder.glob("checkpoints/arrays/replay.*"))
        share = 0.95 / (1 + (1 - latents) + (keep + 1) * latents)
        return Room(
            shutil.disk_usage(_existing(folder)).free + saved, share, "the disk, as checkpoints hold replay too"
        )
    return Room(_free_on_device(), 0.5, "the device's memory that is free, as training needs the rest")


def budget(memory: str, room: Room) -> int | None:
    """Bytes for a setting such as "8GiB", "500 MB" or "auto"; None where it is unknown what is free.

    Raises:
        InputError: it is none of these.
    """
    if memory == "auto":
        return None if room.free is None else int(room.share * room.free)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b)\s*", memory, re.IGNORECASE)
    if match is None or match[2].upper() not in UNITS:
        raise InputError(f"replay.memory must be a size such as 8GiB or 500MB, or auto; got {memory!r}.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def check(needed_records: int, bytes_per_record: int, memory: str, room: Room, *, per_step: int = 1) -> None:
    """That so many records fit, `per_step` of them for each step; the last record of every episode comes on top.

    Raises:
        InputError: they don't; with the numbers, and what would make them fit.
    """
    allowed = budget(memory, room)
    needed = needed_records * bytes_per_record
    if allowed is None or needed <= allowed:
        return
    fits = allowed // bytes_per_record
    whose = f"{room.share:.0%} of {room.name}," if memory == "auto" else "the budget"
    raise InputError(
        f"Replay would take at least {in_units(needed)}: {needed_records:,} records of {bytes_per_record:,} bytes, "
        f"but {whose} is {in_units(allowed)}. Keep fewer with --replay-capacity {fits}, "
        f"train for at most {fits // per_step:,} steps, choose another --replay-home, "
        f"or allow more with --replay-memory {in_units(needed * 1.01).replace(' ', '')}."
    )


def free_memory() -> int | None:
    """Bytes that a process can have without the system swapping or killing it; None if unknown."""
    free = [_meminfo(), _cgroup()]
    known = [number for number in free if number is not None]
    return min(known) if known else None


def in_use() -> dict[str, float]:
    """Bytes that this process and its device hold now, as metrics; what nobody says is left out."""
    stats = jax.local_devices()[0].memory_stats() or {}
    device = {"memory/device_bytes": float(stats["bytes_in_use"])} if "bytes_in_use" in stats else {}
    host = _resident()
    return device if host is None else {"memory/host_bytes": float(host), **device}


def in_units(count: float) -> str:
    """As people write it: 1.23 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there already."""
    return next(found for found in (path.absolute(), *path.absolute().parents) if found.exists())


def _free_on_device() -> int | None:
    """What the device says of itself; one that says nothing shares the host's memory."""
    stats = jax.devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return free_memory()
    return int(stats["bytes_limit"] - stats["bytes_in_use"])


def _resident() -> int | None:
    """Of this process's memory what is in RAM; where only the peak is told, the peak."""
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
    """What a container leaves; cached files that it can give up at once don't count as taken."""
    return _cgroup_free(CGROUP, "memory.max", "memory.current", "inactive_file") or _cgroup_free(
        CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
    )


def _cgroup_free(folder: Path, most: str, taken: str, cached: str) -> int | None:
    """By the files of version 2 or 1; None if there is no limit."""
    try:
        limit = (folder / most).read_text().strip()
        if limit == "max":
            return None
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return max(1, int(limit) - int((folder / taken).read_text()) + int(stat[cached]))
    except (OSError, ValueError, KeyError):
        return None
