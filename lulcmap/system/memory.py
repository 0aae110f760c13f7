"""How much memory a run takes, and how much there is.

The figures are of ``lulcformer-tiny`` on the CPU, 24 Sentinel-2 dates at hand, blocks of 384 to
2304 px; with them the peak of a run was foretold to within 10 % upwards and 30 % downwards.
"""

import ctypes
import math
import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


def release_memory() -> None:
    """Return to the machine what was freed: glibc keeps it, and what comes next is on top of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def free_memory() -> float:
    """Bytes that this process may take; infinite where nobody says."""
    told = [value for value in (available_memory(), memory_limit()) if value is not None]
    return min(told, default=math.inf)


def available_memory() -> float | None:
    """Bytes that can be had without swapping."""
    if _MEMINFO.is_file():
        for line in _MEMINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows; macOS
        return None


def memory_limit() -> float | None:
    """Bytes that the control groups of this process allow, the least of them; None if any."""
    try:
        own = _CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return None
    # of version 2, the line "0::/path"; in a container the path is its own root
    paths = [line.removeprefix("0::/") for line in own if line.startswith("0::/")]
    places = [place for path in paths for place in (_CGROUPS / path / "x").parents]
    files = [place / "memory.max" for place in places if place.is_relative_to(_CGROUPS)]
    files.append(_CGROUPS / "memory" / "memory.limit_in_bytes")  # of version 1, in a container
    limits = []
    for file in files:
        try:
            limits.append(float(file.read_text(encoding="utf-8")))
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
    return min(limits, default=None)
