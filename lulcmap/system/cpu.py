"""The processor that compiled loops are made for."""

import os
import platform
from collections.abc import MutableMapping
from pathlib import Path

_LEVEL = "x86-64-v3"
"""What processors for x86-64 share since 2013 (Intel) and 2015 (AMD): AVX2."""

_LEVEL_FLAGS = frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"])
"""Names that Linux gives to what the level adds to older processors."""


def share_compiled_loops(
    environment: MutableMapping[str, str] | None = None, cpuinfo: Path = Path("/proc/cpuinfo")
) -> None:
    """Have numba compile for all processors of this one's level, unless the user chose another.

    Else numba compiles for the very model of this processor, and a cache that was filled on another
    one, as of a container image or of a home that the nodes of a cluster share, is of no use. The
    level is a part of the cache's key, and is only asked for where this processor has all of it.

    Args:
        environment: environment to change, before numba is imported; None is this process's.
        cpuinfo: file in which Linux describes the processors.

    """
    environment = os.environ if environment is None else environment
    if {"NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES"} & environment.keys():
        return
    if platform.machine() == "x86_64" and _flags(cpuinfo) >= _LEVEL_FLAGS:
        environment["NUMBA_CPU_NAME"], environment["NUMBA_CPU_FEATURES"] = _LEVEL, ""


def _flags(cpuinfo: Path) -> set[str]:
    """Flags of the first processor; none where they are not told."""
    try:
        with cpuinfo.open() as lines:
            for line in lines:
                name, _, value = line.partition(":")
                if name.strip() == "flags":
                    return set(value.split())
    except OSError:
        pass
    return set()
