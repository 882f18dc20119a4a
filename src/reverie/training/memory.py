"""How much memory replay may take, and whether it does. May import: `errors`."""

import os
import re
from pathlib import Path

from reverie.errors import InputError

AUTO = 0.8  # of what is free when the run starts
UNITS = {"B": 1} | {
    f"{prefix}{unit}": base ** (power + 1)
    for unit, base in (("B", 1000), ("IB", 1024))
    for power, prefix in enumerate("KMGT")
}
CGROUP = Path("/sys/fs/cgroup")


def budget(memory: str) -> int | None:
    """Bytes for a setting such as "8GiB", "500 MB" or "auto"; None where the machine doesn't say what is free.

    Raises:
        InputError: it is none of these.
    """
    if memory == "auto":
        free = free_memory()
        return None if free is None else int(AUTO * free)
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?i?b)\s*", memory, re.IGNORECASE)
    if match is None or match[2].upper() not in UNITS:
        raise InputError(f"replay.memory must be a size such as 8GiB or 500MB, or auto; got {memory!r}.")
    return int(float(match[1]) * UNITS[match[2].upper()])


def check(needed_records: int, bytes_per_record: int, memory: str) -> None:
    """That so many records fit, for a run of so many steps; the last record of every episode comes on top.

    Raises:
        InputError: they don't; with the numbers, and what would make them fit.
    """
    allowed = budget(memory)
    needed = needed_records * bytes_per_record
    if allowed is None or needed <= allowed:
        return
    fits = allowed // bytes_per_record
    whose = "80% of the memory that is free now" if memory == "auto" else "the budget"
    raise InputError(
        f"Replay would take at least {in_units(needed)}: {needed_records:,} records of {bytes_per_record:,} bytes, "
        f"but {whose} is {in_units(allowed)}. Keep fewer with --replay.capacity {fits}, "
        f"train for at most {fits:,} steps, "
        f"or allow more with --replay.memory {in_units(needed * 1.01).replace(' ', '')}."
    )


def free_memory() -> int | None:
    """Bytes that a process can have without the system swapping or killing it; None if unknown."""
    free = [_meminfo(), _cgroup()]
    known = [number for number in free if number is not None]
    return min(known) if known else None


def in_units(count: float) -> str:
    """As people write it: 1.23 GB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


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
    """What a container (of cgroup v2) leaves; cached files that it can give up at once don't count as taken."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        if limit == "max":
            return None
        taken = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        return max(0, int(limit) - taken + int(stat["inactive_file"]))
    except (OSError, ValueError, KeyError):
        return None
