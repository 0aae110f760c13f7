"""Places to be labelled: on a grid over an area, or around points and polygons of a file."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from lulcmap.dataset.sample import Sample
from lulcmap.errors import UsageError
from lulcmap.geo import (
    RESOLUTION_M,
    Area,
    Box,
    box_polygons,
    datum_doubt,
    geobox,
    open_vectors,
    project,
    split_by_zone,
    to_degrees,
    utm_zone,
)
from lulcmap.system import read_rows

ANNOTATOR = "teacher"
"""Annotator of chips that a model labelled."""

_COORDINATES = {"lon": ("lon", "longitude", "x"), "lat": ("lat", "latitude", "y")}
"""Columns of a CSV file that hold a point's place, by what they are."""


def area_places(area: Area, size: int, source: str) -> list[Sample]:
    """The places of an area: squares of a grid that is fixed in each UTM zone.

    Args:
        area: the area; a square that holds any of it is a place.
        size: side of a square, pixels.
        source: what labels the places.

    """
    found = []
    for part in split_by_zone(area.polygon):
        polygon = project(part.polygon, f"EPSG:{part.epsg}")
        shapely.prepare(polygon)
        for boxes in _rows_of_boxes(polygon.bounds, size):
            inside = shapely.intersects(polygon, box_polygons(boxes))
            found += [
                _place(box, part.epsg, source, number=size)
                for box, is_inside in zip(boxes, inside, strict=True)
                if is_inside
            ]
    return sorted(found, key=lambda place: place.name)


def _rows_of_boxes(bounds: tuple[float, float, float, float], size: int) -> Iterator[list[Box]]:
    """The grid's squares that bounds touch, in metres of a zone, row by row."""
    left, bottom, right, top = (value / (size * RESOLUTION_M) for value in bounds)
    cols = range(math.floor(left), math.ceil(right))
    for row in range(math.floor(-top), math.ceil(-bottom)):
        yield [Box(row * size, col * size, size, size) for col in cols]


def file_places(path: Path, size: int, source: str, layer: str | None = None) -> list[Sample]:
    """The places around the points and polygons of a file, a square centred on each.

    Args:
        path: a vector file, or a CSV file with the columns ``lon`` and ``lat`` in degrees.
        size: side of a square, pixels.
        source: what labels the places.
        layer: layer of the file; None takes its only one.

    Raises:
        UsageError: the file cannot be read, holds neither points nor polygons, or a point beyond
            UTM.

    """
    is_csv = path.suffix.lower() == ".csv"
    points = _csv_points(path) if is_csv else _vector_points(path, layer)
    found = {}
    for lon, lat in points:
        epsg = utm_zone((lon + 180) % 360 - 180, lat)
        x, y = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
        row, col = (_even(value / RESOLUTION_M - size / 2) for value in (-y, x))
        place = _place(Box(row, col, size, size), epsg, source, number=1)
        found[place.name] = place
    return sorted(found.values(), key=lambda place: place.name)


def _even(value: float) -> int:
    """The nearest even number: composites lie on multiples of 20 m."""
    return 2 * round(value / 2)


def _place(box: Box, epsg: int, source: str, *, number: int) -> Sample:
    """A place named by its corner, counted in squares or pixels."""
    name = f"{epsg}_{-box.row // number}_{box.col // number}"
    return Sample(name, ANNOTATOR, source, (), geobox(box, epsg))


def _vector_points(path: Path, layer: str | None) -> Iterator[tuple[float, float]]:
    """Longitude and latitude of a file's points, and of its polygons' centres."""
    if not path.exists():
        raise UsageError(f"No file {path}; check --places.")
    with open_vectors(path, columns=False) as file:
        read = file.read(layer)
    if read.crs is None:
        raise UsageError(f"The places {path} have no CRS. Save them with one, such as EPSG:4326.")
    shapes = np.array([one for one in read.shapes if one is not None and not one.is_empty], object)
    points = _centres(_single_parts(shapes), path)
    datum_doubt(read.crs, shapely.get_coordinates(points), str(path))
    for point in to_degrees(points, read.crs, str(path)):
        _check_place(point.x, point.y, f"A place of {path}")
        yield float(point.x), float(point.y)


def _single_parts(shapes: NDArray[np.object_]) -> NDArray[np.object_]:
    """Points and polygons themselves, and the points of multipoints."""
    is_multipoint = shapely.get_type_id(shapes) == shapely.GeometryType.MULTIPOINT
    return np.concatenate([shapes[~is_multipoint], shapely.get_parts(shapes[is_multipoint])])


def _centres(shapes: NDArray[np.object_], path: Path) -> NDArray[np.object_]:
    kinds = sorted({shape.geom_type for shape in shapes})
    if not kinds or not set(kinds) <= {"Point", "Polygon", "MultiPolygon"}:
        raise UsageError(
            f"The places {path} are {' and '.join(kinds) or 'none'}. Give points, or polygons: "
            "a chip is centred on each."
        )
    return np.asarray(shapely.centroid(shapes), object)


def _csv_points(path: Path) -> Iterator[tuple[float, float]]:
    """Longitude and latitude of each row of a CSV file."""
    give = "a CSV file with the columns lon and lat, or a vector file"
    rows = read_rows(path, "places", give)
    columns = {(name or "").strip().lower(): name for name in (rows[0] if rows else {})}
    named = {
        key: next((columns[name] for name in names if name in columns), None)
        for key, names in _COORDINATES.items()
    }
    if None in named.values():
        raise UsageError(
            f"The places {path} have the columns {', '.join(columns) or 'none'}; expected lon and "
            "lat, in degrees, and a row for each point."
        )
    for number, row in enumerate(rows, start=2):
        try:
            lon, lat = (float(row[named[key]] or "") for key in ("lon", "lat"))
        except (TypeError, ValueError):
            lon = lat = math.nan
        _check_place(lon, lat, f"Line {number} of {path}")
        yield lon, lat


def _check_place(lon: float, lat: float, what: str) -> None:
    if not (-180 <= lon <= 360 and -90 <= lat <= 90):
        raise UsageError(
            f"{what} is at longitude {lon:g}, latitude {lat:g}; expected degrees, longitude first."
        )


def drawn(places: Iterable[Sample], limit: int | None) -> list[Sample]:
    """At most ``limit`` places, spread at random; more of them include those of fewer.

    Args:
        places: all places.
        limit: how many to draw; None takes all.

    Returns:
        The places, sorted by name.

    """
    shuffled = sorted(places, key=lambda place: hashlib.sha256(place.name.encode()).digest())
    return sorted(shuffled[:limit], key=lambda place: place.name)
