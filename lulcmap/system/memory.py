"""How much memory a run takes, and how much there is.

The figures are of ``lulcformer-tiny`` on the CPU, 24 Sentinel-2 dates at hand, blocks of 384 to
2304 px; with them the peak of a run was foretold to within 10 % upwards and 30 % downwards.
"""

import ctypes
import math
import os
from dataclasses import dataclass
from pathlib import Path

from lulcmap.errors import UsageError

BASE = 0.6e9
"""Bytes of a run with tiny blocks: Python, its libraries, and the model at work."""

COMPOSITED = 99
"""Bytes a pixel of a block, and of the windows around it, that is composited."""

AHEAD = 28
"""Bytes a pixel more, where the block before is classified meanwhile."""

LOGITS = 2.25
"""Bytes a pixel of the blended logits in that: nine classes in cells of 4 x 4 pixels, float32."""

READER = 25e6
"""Bytes that a thread holds that reads: what it has fetched, and what it has decoded."""

AROUND = 512
"""Pixels by which a block's windows reach beyond it, both sides together."""

_SHARE = 0.8
"""Of the memory that is free, what a run may take that was told nothing."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be in memory at once."""

    blocks: int
    """Blocks: 2 where one is composited while the one before is classified, else 1."""

    readers: int
    """Threads that read."""

    peak: float
    """Bytes that this takes, about."""


def budget(
    shape: tuple[int, int], *, readers: int, allowed: int | None, logits: float = LOGITS
) -> Budget:
    """What fits into memory: first fewer threads read, then blocks are made one after the other.

    Args:
        shape: of the largest block, pixels.
        readers: threads that are wanted.
        allowed: bytes; None is what the machine has free.
        logits: bytes a pixel that the model's blended logits take.

    Raises:
        UsageError: not even one block fits, and the memory was stated.

    """
    pixels = (shape[0] + AROUND) * (shape[1] + AROUND)
    room = allowed if allowed is not None else free() * _SHARE
    more = max(logits - LOGITS, 0)
    for blocks, threads in ((2, readers), (2, max(readers // 2, 1)), (1, readers), (1, 1)):
        block = COMPOSITED + (blocks - 1) * AHEAD + more
        peak = BASE + pixels * block + threads * READER
        if peak <= room:
            return Budget(blocks, threads, peak)
    if allowed is None:  # an estimate is no reason to refuse
        return Budget(1, 1, peak)
    raise UsageError(
        f"--max-memory is {allowed / 1e9:.1f} GB, and blocks of {shape[0]} x {shape[1]} px need "
        f"about {peak / 1e9:.1f} GB. Give a smaller --block-size, or more memory."
    )


def give_back() -> None:
    """Return to the machine what was freed: glibc keeps it, and what comes next is on top of it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def free() -> float:
    """Bytes that this process may take; infinite where nobody says."""
    told = [value for value in (available(), limit()) if value is not None]
    return min(told, default=math.inf)


def available() -> float | None:
    """Bytes that can be had without swapping."""
    if _MEMINFO.is_file():
        for line in _MEMINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows; macOS
        return None


def limit() -> float | None:
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
