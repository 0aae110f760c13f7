"""How much memory this process may use, and returning freed memory to the system."""

import ctypes
import math
import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


def release_memory() -> None:
    """Return freed memory to the system: glibc keeps it, and later allocations add to it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def free_memory() -> float:
    """Bytes this process may use; infinite where that is unknown."""
    limits = [value for value in (available_memory(), memory_limit()) if value is not None]
    return min(limits, default=math.inf)


def available_memory() -> float | None:
    """Bytes available without swapping; None where the system does not say."""
    if _MEMINFO.is_file():
        for line in _MEMINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows; macOS
        return None


def memory_limit() -> float | None:
    """Smallest memory limit of this process's control groups, bytes; None if there is none."""
    try:
        lines = _CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return None
    # Version 2 has the line "0::/path"; in a container the path is the container's own root.
    paths = [line.removeprefix("0::/") for line in lines if line.startswith("0::/")]
    folders = [folder for path in paths for folder in (_CGROUPS / path / "x").parents]
    files = [folder / "memory.max" for folder in folders if folder.is_relative_to(_CGROUPS)]
    files.append(_CGROUPS / "memory" / "memory.limit_in_bytes")  # version 1, in a container
    limits = []
    for file in files:
        try:
            limits.append(float(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # no such file, or it says "max"
            continue
    return min(limits, default=None)
