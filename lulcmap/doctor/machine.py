"""Checks of this machine and its environment: memory, disk, credentials, proxies."""

import os
import shutil
import tempfile
import urllib.request
from pathlib import Path

from lulcmap.catalog import PROFILES, SUBSCRIPTION_KEY
from lulcmap.doctor.check import Finding, Status, names_with_verb
from lulcmap.system import available_memory, memory_limit

_LOW_DISK_BYTES = 10e9
"""Free disk that gives a note below, bytes: about what a country's run folder and map need."""

_LOW_MEMORY_BYTES = 4e9
"""Free memory that gives a note below, bytes: a block, its model and its scenes take half."""


def memory() -> Finding:
    """Memory that a run may use."""
    free = available_memory()
    if free is None:
        return "skipped", "This system does not report its free memory."
    message, limit = f"{free / 1e9:.1f} GB free", memory_limit()
    if limit is not None and limit < free:
        message, free = f"{limit / 1e9:.1f} GB, the limit of this container or job", limit
    if free < _LOW_MEMORY_BYTES:
        return "note", f"{message}. Run predict with a smaller --block-size and fewer --workers."
    return "ok", message


def disk(folder: Path) -> Finding:
    """Free disk in the folder that maps will be written to."""
    existing = folder.resolve()
    while not existing.exists():
        existing = existing.parent
    free = shutil.disk_usage(existing).free
    message = f"{free / 1e9:.1f} GB free in {folder.resolve()}"
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return "wrong", f"{message}, but it is not writable ({error.strerror}). Use another folder."
    if free < _LOW_DISK_BYTES:
        return "note", f"{message}. A country may need 10 GB; lulcmap plan says how much."
    return "ok", message


def credentials() -> Finding:
    """Credentials that are set, by name: values are never shown."""
    needs = {f"pixels from {p.name}": p.secrets for p in PROFILES.values() if p.secrets}
    is_set = "is set" if os.environ.get(SUBSCRIPTION_KEY) else "is not set: used only if asked for"
    messages = [f"{SUBSCRIPTION_KEY} {is_set}."]
    status: Status = "ok"
    for use, names in needs.items():
        missing = [name for name in names if not os.environ.get(name)]
        if missing:
            status = "note"
            messages.append(f"{names_with_verb(missing)} not set: no {use}.")
        else:
            messages.append(f"{names_with_verb(names)} set, for {use}.")
    return status, " ".join(messages)


def proxies() -> Finding:
    """Proxies that requests go through, by name: an address may contain a password."""
    schemes = sorted(urllib.request.getproxies_environment())
    names = [f"{scheme}_proxy" for scheme in schemes]
    return "ok", f"{names_with_verb(names)} set and used." if names else "None is set."
