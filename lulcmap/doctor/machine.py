"""What this machine and its environment leave to a run."""

import os
import shutil
import tempfile
import urllib.request
from pathlib import Path

from lulcmap.catalog import PROFILES, SUBSCRIPTION_KEY
from lulcmap.doctor.check import Finding, Status, names_with_verb
from lulcmap.system import available_memory, memory_limit

_LOW_DISK_BYTES = 10e9
"""Bytes. A country's run folder and map are of this order."""

_LOW_MEMORY_BYTES = 4e9
"""Bytes. A block, its model and the scenes being read take about half."""


def memory() -> Finding:
    """What a run may take."""
    free = available_memory()
    if free is None:
        return "skipped", "This system does not say how much is free."
    said, most = f"{free / 1e9:.1f} GB free", memory_limit()
    if most is not None and most < free:
        said, free = f"{most / 1e9:.1f} GB, the limit of this container or job", most
    if free < _LOW_MEMORY_BYTES:
        return "note", f"{said}. Give predict a smaller --block-size and fewer --workers."
    return "ok", said


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
    if free < _LOW_DISK_BYTES:
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
            said.append(f"{names_with_verb(missing)} not set: no {what}.")
        else:
            said.append(f"{names_with_verb(names)} set, for {what}.")
    return status, " ".join(said)


def proxies() -> Finding:
    """Whether requests go through one; its address may hold a password."""
    found = sorted(urllib.request.getproxies_environment())
    names = [f"{scheme}_proxy" for scheme in found]
    return "ok", f"{names_with_verb(names)} set, and followed." if names else "None is set."
