"""How much memory a run takes, and how much there is."""

import os
from dataclasses import dataclass
from pathlib import Path

from lulcmap.errors import UsageError

BASE = 0.45e9
"""Bytes of a run with tiny blocks: Python, its libraries, and the model at work."""

BLOCK_A_PIXEL = 40
"""Bytes a pixel of a block that is composited, or classified."""

READER = 12e6
"""Bytes a thread that reads holds: what it has fetched and what it has decoded."""

_SHARE = 0.8
"""Of the memory that is free, what a run may take that was told nothing."""

_CGROUP = Path("/sys/fs/cgroup")
"""Where Linux tells a container's limits."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be in memory at once."""

    blocks: int
    """Blocks: 2 where one is composited while the one before is classified, else 1."""

    readers: int
    """Threads that read."""

    peak: float
    """Bytes that this takes, about."""


def budget(pixels: int, *, readers: int, allowed: int | None) -> Budget:
    """What fits into memory: first fewer threads read, then blocks are made one after the other.

    Args:
        pixels: of the largest block.
        readers: threads that are wanted.
        allowed: bytes; None is what the machine has free.

    Raises:
        UsageError: not even one block fits, and the memory was stated.

    """
    room = allowed if allowed is not None else free() * _SHARE
    for blocks, threads in ((2, readers), (2, max(readers // 2, 1)), (1, readers), (1, 1)):
        peak = BASE + blocks * pixels * BLOCK_A_PIXEL + threads * READER
        if peak <= room:
            return Budget(blocks, threads, peak)
    if allowed is None:  # an estimate is no reason to refuse
        return Budget(1, 1, peak)
    raise UsageError(
        f"--max-memory is {allowed / 1e9:.1f} GB, and blocks of {pixels / 1e6:.1f} Mpx need about "
        f"{peak / 1e9:.1f} GB. Give a smaller --block-size, or more memory."
    )


def free() -> float:
    """Bytes of memory that this process may still take: the machine's, or its container's."""
    limits = [_of_machine()]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            limits.append(
                float((_CGROUP / limit).read_text()) - float((_CGROUP / used).read_text())
            )
        except (OSError, ValueError):  # no container, or "max"
            continue
    return max(min(limits), 0.0)


def _of_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        told = dict(line.split(":", 1) for line in lines)
        return float(told["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
