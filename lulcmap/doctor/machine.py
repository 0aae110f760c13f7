"""What this machine and its environment leave to a run."""

import os
import shutil
import tempfile
import urllib.request
from pathlib import Path

from lulcmap.doctor.check import Finding, Status, listed
from lulcmap.providers import PROFILES
from lulcmap.signing import SUBSCRIPTION_KEY

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")

_LITTLE_DISK = 10e9
"""Bytes. A country's run folder and map are of this order."""

_LITTLE_MEMORY = 4e9
"""Bytes. A block, its model and the scenes being read take about half."""


def memory() -> Finding:
    """What a run may take."""
    free = _free_memory()
    if free is None:
        return "skipped", "This system does not say how much is free."
    said, limit = f"{free / 1e9:.1f} GB free", _memory_limit()
    if limit is not None and limit < free:
        said, free = f"{limit / 1e9:.1f} GB, the limit of this container or job", limit
    if free < _LITTLE_MEMORY:
        return "note", f"{said}. Give predict a smaller --block-size and fewer --workers."
    return "ok", said


def _free_memory() -> float | None:
    """Bytes that can be had without swapping."""
    if _MEMINFO.is_file():
        for line in _MEMINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows; macOS
        return None


def _memory_limit() -> float | None:
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


def disk(folder: Path) -> Finding:
    """Where maps are to be written."""
    place = folder.resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    said = f"{free / 1e9:.1f} GB free in {folder.resolve()}"
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return "wrong", f"{said}, but it cannot be written to ({error.strerror}). Use another."
    if free < _LITTLE_DISK:
        return "note", f"{said}. A country may need 10 GB; lulcmap plan says how much."
    return "ok", said


def credentials() -> Finding:
    """Which are set, by name: no value is ever shown."""
    needs = {
        "Sentinel-1 from planetary-computer": (SUBSCRIPTION_KEY,),
        **{f"pixels from {p.name}": p.secrets for p in PROFILES.values() if p.secrets},
    }
    said = []
    status: Status = "ok"
    for what, names in needs.items():
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            status = "note"
            said.append(f"{listed(missing)} not set: no {what}.")
        else:
            said.append(f"{listed(names)} set, for {what}.")
    return status, " ".join(said)


def proxies() -> Finding:
    """Whether requests go through one; its address may hold a password."""
    found = sorted(urllib.request.getproxies_environment())
    names = [f"{scheme}_proxy" for scheme in found]
    return "ok", f"{listed(names)} set, and followed." if names else "None is set."
