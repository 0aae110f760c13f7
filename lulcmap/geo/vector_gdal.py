"""Read vector files through GDAL, each by the one driver that its content calls for."""

import re
import sqlite3
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
import pyogrio
import shapely
from pyproj.exceptions import CRSError

from lulcmap.errors import UsageError
from lulcmap.geo.crs import understood_crs
from lulcmap.geo.layer import FORMATS, VectorLayer, first_line

_OPTIONS = {"GML": {"DOWNLOAD_SCHEMA": "NO", "WRITE_GFS": "NO"}}
"""Options by driver: ask no server for a schema, and write nothing beside the user's file."""

_CHUNK_BYTES = 2**20

_OTHER_DRIVERS = re.compile(rb"<OGR\w+DataSource|gdal_streamed_alg")
"""What makes GDAL take a text for a set of instructions: open other files, ask a server."""

_ADVICE = re.compile(r"; It might help|\. Set \w+ config")
"""Where GDAL's advice to programmers begins."""

_ERRORS = (
    pyogrio.errors.DataSourceError,
    pyogrio.errors.DataLayerError,
    pyogrio.errors.FeatureError,
    pyogrio.errors.GeometryError,
    pyogrio.errors.CRSError,
)


def driver_of(path: Path, name: str) -> str:
    """The driver that reads a file, by the bytes it begins with.

    GDAL would try each of its drivers, some of which open other files, run commands or send
    requests. A binary file of the four kinds below is no text to any of them, and an XML file is
    taken only if it is one KML or GML document.

    Args:
        path: path of a file.
        name: what messages call it.

    Raises:
        UsageError: none of the drivers reads it.

    """
    with path.open("rb") as file:
        head = file.read(1024)
    if head.startswith(b"\x00\x00\x27\x0a"):
        return "ESRI Shapefile"
    if head.startswith(b"SQLite format 3\x00"):
        if head[68:72] in (b"GPKG", b"GP10", b"GP11") or path.suffix.lower() == ".gpkg":
            return "GPKG"
        raise UsageError(f"{name} is an SQLite database, not a GeoPackage. Give {FORMATS}.")
    if head.startswith(b"fgb\x03"):
        return "FlatGeobuf"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<"):
        return _xml_driver(path, name)
    raise UsageError(
        f"{name} cannot be read as a vector file: it is empty, damaged, or not one. Give {FORMATS}."
    )


def gdal_layers(path: Path, driver: str, name: str) -> list[str]:
    """Names of a file's layers that have a geometry.

    Args:
        path: path of the file.
        driver: what ``driver_of`` said.
        name: what messages call it.

    Raises:
        UsageError: the file cannot be read.

    """
    source = _source(path, name)
    if driver == "GPKG":
        _recover(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL's remarks; what matters is checked below
            if driver in _OPTIONS:  # list_layers takes no options
                return list(_layers_one_by_one(source, driver))
            layers = pyogrio.list_layers(source)
            if len(layers) and pyogrio.read_info(source, layer=0)["driver"] not in (driver, "KML"):
                raise _unreadable(name, "GDAL takes it for another format", driver)
    except (*_ERRORS, ValueError) as error:
        raise _unreadable(name, _reason(error, source), driver) from error
    return [str(layer) for layer, kind in layers if kind is not None]  # tables have no kind


def _recover(path: Path) -> None:
    """Take back what a killed program left by half in a GeoPackage.

    Every SQLite program does so as it opens the file to write; GDAL opens it to read, and cannot.
    """
    if not path.with_name(f"{path.name}-journal").exists():
        return
    with suppress(sqlite3.Error):  # where it cannot be done, GDAL says so
        address = f"{path.absolute().as_uri()}?mode=rw"
        with closing(sqlite3.connect(address, uri=True)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _layers_one_by_one(source: str, driver: str) -> Iterator[str]:
    number = 0
    while True:
        try:
            info = pyogrio.read_info(source, layer=number, **_OPTIONS[driver])
        except pyogrio.errors.DataLayerError:
            return
        if info["driver"] != driver:
            raise pyogrio.errors.DataSourceError("GDAL takes it for another format")
        if info["geometry_type"] is not None:
            yield str(info["layer_name"])
        number += 1


def read_gdal(
    path: Path, driver: str, name: str, layer: str, *, columns: bool = True
) -> VectorLayer:
    """A layer of a file.

    Args:
        path: path of the file.
        driver: what ``driver_of`` said.
        name: what messages call it.
        layer: name of the layer.
        columns: whether to read the attributes.

    Raises:
        UsageError: it cannot be read, or its CRS is not understood.

    """
    source = _source(path, name)
    options: dict[str, Any] = dict(_OPTIONS.get(driver, {}))
    if not columns:
        options["columns"] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # coordinates that are not numbers are refused later
            meta, _, blobs, values = pyogrio.raw.read(source, layer=layer, force_2d=True, **options)
            shapes = shapely.from_wkb([] if blobs is None else blobs)
        crs = understood_crs(meta["crs"]) if meta["crs"] else None
    except CRSError as error:
        raise UsageError(
            f"The CRS of {name} is not understood. Convert the file to longitude and latitude "
            "(EPSG:4326)."
        ) from error
    except _ERRORS as error:
        raise _unreadable(name, _reason(error, source), driver) from error
    except (shapely.errors.ShapelyError, ValueError) as error:
        raise UsageError(
            f"{name} has a geometry that cannot be read ({first_line(error)}). Repair it, or "
            "save it again as plain polygons."
        ) from error
    columns_by_name = dict(zip(meta["fields"].tolist(), values, strict=True))
    return VectorLayer(driver, np.atleast_1d(np.asarray(shapes, object)), crs, columns_by_name)


def _source(path: Path, name: str) -> str:
    """The absolute path as GDAL takes it: no prefix of a driver or a protocol is in it."""
    source = str(path.absolute())
    if set(source) & set("!;"):
        raise UsageError(
            f"{name} has a ! or ; in its path, which GDAL reads as something else. Rename it."
        )
    return source


def _reason(error: Exception, source: str) -> str:
    """GDAL's own words, without folders and its advice to programmers."""
    text = str(error).replace(f"'{source}'", "it").replace(f"{Path(source).parent}/", "")
    return first_line(ValueError(_ADVICE.split(text)[0]))


def _unreadable(name: str, reason: str, driver: str) -> UsageError:
    advice = f"Give {FORMATS}."
    if driver == "ESRI Shapefile":
        advice = "A Shapefile is several files: copy its .shp, .shx, .dbf and .prj together."
    return UsageError(f"{name} cannot be read as {driver}: {reason}. {advice}")


def _xml_driver(path: Path, name: str) -> str:
    """The driver of an XML file that is one KML or GML document throughout."""
    root: list[tuple[str, dict[str, str]]] = []
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        root.append((tag, attributes))
        parser.StartElementHandler = None

    def refuse(*_: object) -> None:
        raise UsageError(f"{name} has a DOCTYPE, which is not read. Save it without.")

    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = refuse
    try:
        with path.open("rb") as file:
            first = True
            while data := file.read(_CHUNK_BYTES):
                if first and _OTHER_DRIVERS.search(data):
                    raise UsageError(
                        f"{name} is a file of instructions for GDAL, not a vector file. Give "
                        f"{FORMATS}."
                    )
                first = False
                parser.Parse(data)
            parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise UsageError(
            f"{name} cannot be read as XML: {first_line(error)}. Give {FORMATS}."
        ) from error
    tag, attributes = root[0]
    local = tag.rpartition(":")[2]
    if local == "kml":
        return "LIBKML"
    spaces = [value for key, value in attributes.items() if key.startswith("xmlns")]
    if any("opengis.net/gml" in value for value in spaces):
        return "GML"
    raise UsageError(f"{name} is XML of the kind <{tag[:60]}>, not KML or GML. Give {FORMATS}.")
