"""The door for users' vector files: local files of a few formats, each by its own driver.

Nothing else of the package opens a vector file of a user. What GDAL would also open by itself is
refused: files that name other files, servers or commands, and remote paths.
"""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from lulcmap.errors import UsageError
from lulcmap.geo.geojson import read_geojson
from lulcmap.geo.geoparquet import read_geoparquet
from lulcmap.geo.layer import FORMATS, VectorLayer

_SUFFIXES = (".shp", ".gpkg", ".fgb", ".kml", ".gml", ".geojson", ".parquet", ".json")
"""Files that are read from a zip; ``.json`` only if there is none of the others."""

_MAX_ZIP_BYTES = 4e9
"""Largest content of a zip that is read, bytes."""


_ZIP_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, EOFError, ValueError),
    *(NotImplementedError, RuntimeError),  # a method or a password that zipfile does not know
)


@dataclass(frozen=True, slots=True)
class VectorFile:
    """An open vector file."""

    name: str
    """What messages call it."""

    layers: dict[str, Callable[[], VectorLayer]]
    """A function that reads each of the layers with a geometry, by their names."""

    def read(self, layer: str | None = None) -> VectorLayer:
        """A layer of the file.

        Args:
            layer: its name; None takes the only one.

        Raises:
            UsageError: there is no such layer, there are several, or it cannot be read.

        """
        names = ", ".join(self.layers)
        if layer is not None and layer not in self.layers:
            raise UsageError(
                f"{self.name} has no layer {layer!r}; it has {names or 'none with a geometry'}."
            )
        if layer is None and len(self.layers) > 1:
            raise UsageError(f"{self.name} has several layers: {names}. Choose one with --layer.")
        if not self.layers:
            raise UsageError(f"{self.name} has no polygons: none of its layers has a geometry.")
        return self.layers[layer or next(iter(self.layers))]()


@contextmanager
def open_vectors(path: Path, *, columns: bool = True) -> Iterator[VectorFile]:
    """Open a vector file, a zip with one, or a folder of Shapefiles.

    Args:
        path: its path.
        columns: whether its attributes are wanted.

    Raises:
        UsageError: it does not exist, or is of no format that is read.

    """
    with ExitStack() as stack:
        try:
            yield _open(path, str(path), stack, columns=columns)
        except OSError as error:
            raise UsageError(f"{path} cannot be read ({error.strerror or error}).") from error


def _open(path: Path, name: str, stack: ExitStack, *, columns: bool) -> VectorFile:
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.suffix.lower() == ".shp")
        return _joined(name, {one.stem: one for one in found}, stack, columns=columns)
    if not path.is_file():
        raise UsageError(f"No file {name}. Give {FORMATS}.")
    head = _head(path)
    if head.startswith(b"PK"):
        return _joined(name, _unpacked(path, name, stack), stack, columns=columns)
    if head.startswith(b"PAR1"):
        return VectorFile(name, {path.stem: partial(read_geoparquet, path, name)})
    if _is_json(head, path):
        return VectorFile(name, {path.stem: partial(read_geojson, path, name)})
    from lulcmap.geo.vector_gdal import driver_of, gdal_layers, read_gdal  # GDAL's, slow to import

    driver = driver_of(path, name)
    return VectorFile(
        name,
        {
            layer: partial(read_gdal, path, driver, name, layer, columns=columns)
            for layer in gdal_layers(path, driver, name)
        },
    )


def _head(path: Path) -> bytes:
    """The first bytes of a file that are not blank."""
    with path.open("rb") as file:
        while data := file.read(2**16):
            if head := data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\x1e \t\r\n"):
                return head
    return b""


def _is_json(head: bytes, path: Path) -> bool:
    return head[:1] in (b"{", b"[") or (
        head[:2] in (b"\xff\xfe", b"\xfe\xff") and path.suffix.lower() in (".geojson", ".json")
    )


def _joined(name: str, paths: dict[str, Path], stack: ExitStack, *, columns: bool) -> VectorFile:
    """The files of a zip or folder as one; each is a layer, unless there is one only."""
    if not paths:
        raise UsageError(f"{name} holds no vector file. Give {FORMATS}.")
    files = {
        layer: _open(path, f"{name}/{path.name}", stack, columns=columns)
        for layer, path in paths.items()
    }
    if len(files) == 1:
        return VectorFile(name, next(iter(files.values())).layers)
    return VectorFile(name, {layer: file.read for layer, file in files.items()})


def _unpacked(path: Path, name: str, stack: ExitStack) -> dict[str, Path]:
    """The vector files of a zip by the names of their layers, unpacked to a temporary folder."""
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
        chosen = _chosen(archive)
        members = [
            info
            for info in archive.infolist()
            if any(_belongs(PurePosixPath(info.filename), one) for one in chosen.values())
        ]
        size = sum(info.file_size for info in members)
        if size > _MAX_ZIP_BYTES:
            raise UsageError(
                f"{name} unpacks to {size / 1e9:.1f} GB; the limit is {_MAX_ZIP_BYTES / 1e9:g}. "
                "Unpack it, and give the file."
            )
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lulcmap-")))
        unpacked = {}
        for number, (layer, inner) in enumerate(chosen.items()):
            own = folder / str(number)
            own.mkdir()
            for info in members:
                if _belongs(PurePosixPath(info.filename), inner):
                    target = own / PurePosixPath(info.filename).name
                    with archive.open(info) as packed, target.open("wb") as file:
                        shutil.copyfileobj(packed, file)
            unpacked[layer] = own / inner.name
    except _ZIP_ERRORS as error:
        raise UsageError(
            f"{name} cannot be read as a zip ({error}). Unpack it, and give the file."
        ) from error
    return unpacked


def _belongs(member: PurePosixPath, inner: PurePosixPath) -> bool:
    """Whether a member of a zip is a file, or one of the several files of a Shapefile."""
    is_part = inner.suffix.lower() == ".shp" and member.stem.lower() == inner.stem.lower()
    return member == inner or (is_part and member.parent == inner.parent)


def _chosen(archive: zipfile.ZipFile) -> dict[str, PurePosixPath]:
    """The vector files of a zip by the names of their layers."""
    paths = [PurePosixPath(info.filename) for info in archive.infolist() if not info.is_dir()]
    paths = [path for path in paths if path.parts[:1] != ("__MACOSX",) and path.name[0] != "."]
    found = [path for path in paths if path.suffix.lower() in _SUFFIXES[:-1]]
    found = found or [path for path in paths if path.suffix.lower() == _SUFFIXES[-1]]
    if Path(archive.filename or "").suffix.lower() == ".kmz":
        found = sorted(found, key=lambda path: path.as_posix() != "doc.kml")[:1]
    stems = [path.stem for path in found]
    return {
        path.stem if stems.count(path.stem) == 1 else path.with_suffix("").as_posix(): path
        for path in found
    }
