"""Files that GDAL, QGIS or SQLite read as part of another file, by its name.

Statistics, overviews or a mask of an old map would be shown for the new one that takes its place.
World files, ``.tab`` and ``.prj`` stay: GDAL prefers what is in a GeoTIFF itself, and they may
belong to another file. Styles stay too (``.qml``): they are somebody's work.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_ENDINGS = re.compile(
    r"(\.aux\.xml|\.ovr|\.msk)+"  # overviews of a mask, statistics of overviews, ...
    r"|\.vat\.(dbf|cpg)"
    r"|-(journal|wal|shm)",  # SQLite would play an old journal into the new file
    re.IGNORECASE,
)
"""What follows a file's whole name; GDAL finds ``map.tif.OVR`` too."""

_ERDAS = b"EHFA_HEADER_TAG"
"""First bytes of an ``.aux`` file with overviews."""

_MAX_AUX_BYTES = 2**24


def sidecars(path: Path) -> Iterator[Path]:
    """The files beside a file that are read as part of it; folders are none.

    Args:
        path: path of the file, which may be gone.

    """
    erdas = {f"{path.stem}.aux", f"{path.name}.aux"}
    others: list[Path] = []
    with suppress(PermissionError):  # a folder that may be written to, but not listed
        others = list(path.parent.iterdir())
    for other in others:
        name = other.name
        if name.startswith(path.name) and _ENDINGS.fullmatch(name[len(path.name) :]):
            if other.is_symlink() or other.is_file():
                yield other
        elif name in erdas and other != path and _is_of(other, path.name):
            yield other


def _is_of(aux: Path, name: str) -> bool:
    """Whether an ``.aux`` file says that it belongs to a file of this name, or to its mask."""
    if not aux.is_file():
        return False
    with aux.open("rb") as file:
        content = file.read(_MAX_AUX_BYTES)
    owner = rb"\0" + re.escape(os.fsencode(name)) + rb"(\.msk|\.ovr)*\0"
    return content.startswith(_ERDAS) and re.search(owner, content, re.IGNORECASE) is not None
