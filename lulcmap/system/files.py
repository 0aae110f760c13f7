"""Files written whole: a reader, or a rerun after a kill, sees the old file or the new one.

Everything lulcmap writes and reads again goes through here: a temporary name beside the file,
flushed to the disk, then renamed. Temporary names start with a dot, hold eight random digits, so
that nobody can put a link in their place, and ``.part``, and keep the file's ending, for GDAL
chooses a format by it. Of a long name they hold the beginning and a digest, so that they fit.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from lulcmap.system.sidecars import sidecars

_PART = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.part(?P<ending>\.[^.]+)?(?:\.[^.]+)*")
"""A temporary name, maybe with more endings: GDAL makes files beside the one it writes."""

_MANY = 1000
"""Files of a folder above which the whole disk is synchronised instead of each."""

_BESIDE = (".ovr", ".ovr.tmp", ".aux.xml", ".msk", ".msk.ovr.tmp", "-journal", "-wal", "-shm")
"""Endings of the files that GDAL and SQLite make beside the one they write."""

_WHOLE_NAME_BYTES, _BEGINNING_BYTES, _ENDING_BYTES = 100, 60, 16
"""Longest name that a temporary name holds whole; what it holds of others: beginning and ending.
With the endings of ``_BESIDE`` it has less than the 143 bytes of the strictest filesystems."""


@contextmanager
def replacing(path: Path, *, others: bool = False) -> Iterator[Path]:
    """A temporary path to write in the body; it takes the place of ``path`` when the body ends.

    If the body raises, ``path`` stays as it was. Temporary files that a killed run left for the
    same ``path`` are removed first. What other programs read as part of the old file, such as its
    statistics, is removed with it.

    Args:
        path: path of the file or folder; its folder exists.
        others: whether other processes may write the same ``path`` now, so that their temporary
            files must stay.

    Raises:
        OSError: it cannot be written.

    """
    if not others:
        for leftover in parts(path.parent):
            if written(leftover) == "".join(_shortened(path)):
                _remove(leftover)
    part = _part_of(path)
    try:
        yield part
        _sync(part)
        if part.is_dir() and path.is_dir():  # no system renames a folder onto one with files
            old = _part_of(path)
            path.rename(old)
            part.rename(path)
            _remove(old)
        else:
            part.replace(path)
            for sidecar in sidecars(path):
                sidecar.unlink(missing_ok=True)
    finally:
        for name in (part.name, *(f"{part.name}{ending}" for ending in _BESIDE)):
            _remove(part.with_name(name))


def write_atomically(path: Path, data: bytes | memoryview | str) -> None:
    """Write a file: all of it, or nothing; other processes may write the same one.

    Args:
        path: path of the file; its folder exists.
        data: what it holds; text is encoded as UTF-8.

    Raises:
        OSError: it cannot be written.

    """
    with replacing(path, others=True) as part:
        part.write_bytes(data.encode() if isinstance(data, str) else data)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON object, its keys sorted: all of it, or nothing.

    Raises:
        OSError: it cannot be written.

    """
    write_atomically(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is no such file, or it holds something else.

    Raises:
        OSError: it exists and cannot be read.

    """
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def parts(folder: Path) -> list[Path]:
    """The temporary files in a folder: of a killed process, or of one at work."""
    return [path for path in folder.glob(".*.part*") if written(path) is not None]


def written(part: Path) -> str | None:
    """Name of the file that a temporary file is to become; None if it is no temporary file.

    A long name comes back shortened.

    Examples:
        >>> written(Path(".map.0a1b2c3d.part.tif"))
        'map.tif'

    """
    match = _PART.fullmatch(part.name)
    return match["name"] + (match["ending"] or "") if match else None


def _part_of(path: Path) -> Path:
    """A temporary name for a file or folder, beside it."""
    stem, ending = _shortened(path)
    return path.with_name(f".{stem}.{secrets.token_hex(4)}.part{ending}")


def _shortened(path: Path) -> tuple[str, str]:
    """Stem and ending of a name, or of a long one its beginning, a digest of it, and its ending."""
    name = os.fsencode(path.name)
    if len(name) <= _WHOLE_NAME_BYTES:
        return path.stem, path.suffix
    beginning = name[:_BEGINNING_BYTES].decode(errors="ignore")
    digest = hashlib.sha256(name).hexdigest()[:16]
    is_short = len(os.fsencode(path.suffix)) <= _ENDING_BYTES
    return f"{beginning}~{digest}", path.suffix if is_short else ""


def _sync(path: Path) -> None:
    """Have the system put a file, or the files of a folder, on the disk before it gets its name."""
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    if len(files) > _MANY and hasattr(os, "sync"):
        os.sync()  # one after the other they take minutes
        return
    for written_file in files:
        with written_file.open("rb+") as file:
            os.fsync(file.fileno())


def _remove(path: Path) -> None:
    """Remove a temporary file; an error of what was to be written counts, not one of this."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
        return
    with suppress(OSError):
        path.unlink()
