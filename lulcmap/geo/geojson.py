"""Read GeoJSON, with the CRS that older files name."""

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError
from shapely.geometry.base import BaseGeometry

from lulcmap.errors import UsageError
from lulcmap.geo.crs import crs_by_name
from lulcmap.geo.layer import VectorLayer, first_line
from lulcmap.system import free_memory

_MEMORY_RATIO = 20
"""Memory that reading takes, times the file's size."""

_GEOMETRIES = {"Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"}
_KINDS = {*_GEOMETRIES, "GeometryCollection", "Feature", "FeatureCollection"}


def read_geojson(path: Path, name: str) -> VectorLayer:
    """The features of a GeoJSON file.

    Args:
        path: path of the file: a geometry, a feature, a collection, or a feature a line.
        name: what messages call it.

    Raises:
        UsageError: it is broken, another kind of JSON, or in a CRS that is not known.

    """
    size = path.stat().st_size
    if size * _MEMORY_RATIO > free_memory():
        raise UsageError(
            f"{name} has {size / 1e9:.1f} GB, more than fits in memory as GeoJSON. Save it as a "
            "GeoPackage, or simplify it."
        )
    try:
        values = _parse(path.read_bytes())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # coordinates that are not numbers are refused later
            shapes, rows = _features(values)
        columns = _columns(rows)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError) as error:
        raise UsageError(f"{name} cannot be read as GeoJSON: {_reason(error)}.") from error
    except shapely.errors.ShapelyError as error:
        raise UsageError(
            f"{name} has a geometry that cannot be read ({first_line(error)}). Repair it, or "
            "save it again as plain polygons."
        ) from error
    return VectorLayer("GeoJSON", shapes, _crs(values, name), columns)


def _parse(data: bytes) -> dict[str, Any]:
    """The document, or a collection of the features of its lines."""
    text = data.decode(json.detect_encoding(data)).removeprefix("\ufeff")
    try:
        values = json.loads(text)
    except json.JSONDecodeError:
        lines = [line.strip("\x1e \t\r") for line in text.split("\n")]
        lines = [line for line in lines if line]
        if len(lines) < 2 or not all(line[0] == "{" and line[-1] == "}" for line in lines):
            raise
        values = {"type": "FeatureCollection", "features": [json.loads(line) for line in lines]}
    if not isinstance(values, dict) or values.get("type") not in _KINDS:
        kind = values.get("type") if isinstance(values, dict) else None
        raise ValueError(f'its "type" is {kind!r:.60}, not "FeatureCollection" or a geometry')
    return values


def _reason(error: BaseException) -> str:
    if isinstance(error, KeyError):
        return f"a feature or geometry has no {error}"
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    return first_line(error)


def _features(
    values: dict[str, Any],
) -> tuple[NDArray[np.object_], list[dict[str, Any]]]:
    """(n,) geometries and attributes of the features."""
    features = values["features"] if values["type"] == "FeatureCollection" else [values]
    shapes = np.full(len(features), None, dtype=object)
    rows = []
    for i, feature in enumerate(features):
        is_feature = feature["type"] == "Feature"
        geometry = feature["geometry"] if is_feature else feature
        shapes[i] = None if geometry is None else geometry_of(geometry)
        rows.append((is_feature and feature.get("properties")) or {})
    return shapes, rows


def geometries(values: dict[str, Any]) -> Iterator[BaseGeometry]:
    """The geometries of GeoJSON: of a geometry, a feature or a feature collection."""
    for shape in _features(values)[0]:
        if shape is not None:
            yield shape


def geometry_of(values: dict[str, Any]) -> BaseGeometry:
    """A geometry in two dimensions, from GeoJSON.

    Raises:
        ValueError, TypeError, KeyError, ShapelyError: it is broken.

    """
    kind = values["type"]
    if kind == "GeometryCollection":
        return shapely.GeometryCollection([geometry_of(part) for part in values["geometries"]])
    if kind not in _GEOMETRIES:
        raise ValueError(f"a geometry is a {kind!r:.60}")
    parts = values["coordinates"]
    if kind == "Polygon":
        return _polygon(parts)
    if kind == "MultiPolygon":
        return shapely.MultiPolygon([_polygon(part) for part in parts])
    return shapely.force_2d(shapely.geometry.shape({"type": kind, "coordinates": parts}))


def _polygon(rings: Any) -> shapely.Polygon:
    lines = [_ring(ring) for ring in rings]
    return shapely.Polygon(lines[0], lines[1:]) if lines else shapely.Polygon()


def _ring(ring: Any) -> NDArray[np.float64]:
    """(n, 2) corners; heights are left out, also where only some corners have one."""
    corners = np.array([corner[:2] for corner in ring] if len(ring) else np.empty((0, 2)))
    if corners.dtype.kind not in "fiu" or corners.ndim != 2:
        raise ValueError("a corner of a polygon is not two numbers")
    if len(corners) and (corners[0] != corners[-1]).any() and np.isfinite(corners).all():
        raise ValueError("a ring of a polygon is not closed: its last corner is not its first")
    return corners.astype(np.float64)


def _crs(values: dict[str, Any], name: str) -> CRS | None:
    """The CRS that a file names, at whatever level; WGS 84 if it names none."""
    named = list(_named(values))
    if not named:
        return CRS.from_user_input("OGC:CRS84")
    if any(crs != named[0] for crs in named):
        raise UsageError(f"{name} names several CRS. Save it in one, such as EPSG:4326.")
    crs = named[0]
    if crs is None:
        return None
    try:
        return crs_by_name(_crs_name(crs))
    except (CRSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{name} names the CRS {json.dumps(crs)[:120]}, which is not understood. Name it such "
            'as "EPSG:25832", or convert the file to longitude and latitude (EPSG:4326).'
        ) from error


def _named(values: dict[str, Any]) -> Iterator[Any]:
    """The ``crs`` members of a document, its features and their geometries."""
    if "crs" in values:
        yield values["crs"]
    for feature in values["features"] if values["type"] == "FeatureCollection" else ():
        yield from _named(feature)
    if values["type"] == "Feature" and values["geometry"] is not None:
        yield from _named(values["geometry"])


def _crs_name(crs: dict[str, Any]) -> str:
    """The name in a ``crs`` member."""
    if isinstance(crs, str):
        return crs
    properties = crs["properties"]
    return f"EPSG:{properties['code']}" if "code" in properties else str(properties["name"])


def _columns(rows: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """(n,) values of each attribute: numbers where all are, else texts, as GDAL gives them."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: _column([row.get(name) for row in rows]) for name in names}


def _column(values: list[Any]) -> NDArray[Any]:
    kinds = {type(value) for value in values}
    if kinds == {int}:
        return np.array(values)
    if kinds <= {int, float, type(None)} and kinds != {type(None)}:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    texts = [
        json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        for value in values
    ]
    column = np.full(len(texts), None, dtype=object)
    column[:] = texts
    return column
