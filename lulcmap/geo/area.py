"""The area of interest: from a file, four numbers or a geometry to one polygon in degrees."""

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod
from pyproj.exceptions import CRSError

from lulcmap.errors import AreaError, UsageError
from lulcmap.geo.crossings import repaired, united
from lulcmap.geo.crs import datum_doubt, to_degrees, understood_crs
from lulcmap.geo.geojson import geometries
from lulcmap.geo.layer import FORMATS, VectorLayer, first_line
from lulcmap.geo.longitudes import check_degrees, cut_at_180, unwrapped
from lulcmap.geo.vector_file import open_vectors
from lulcmap.system import check_is_file, check_proj

MIN_AREA_KM2 = 1e-6
"""Smallest area, square kilometres; geometry in degrees means nothing below it."""

MAX_AREA_KM2 = 20e6
"""Largest area, square kilometres; Russia has 17.1 million."""

MAX_BORDER_DEGREES = 50_000.0
"""Longest border of an area, degrees, all rings together; the most ragged coasts have about 5,000,
and the time and memory of planning grow with it."""

_DEGREES_UNLESS_SAID = ("ESRI Shapefile", "GeoJSON")
"""Formats whose files without a CRS are taken for degrees, if they look like them."""


_THINNEST_DEGREES = 1e-12
"""Width of the thinnest part of an area that is kept, degrees: 0.1 micrometres. Thinner ones come
of rounding, and vanish in metres."""


@dataclass(frozen=True, slots=True)
class Area:
    """The area to be mapped."""

    polygon: shapely.MultiPolygon
    """Valid polygon, longitude, latitude, degrees (EPSG:4326); cut at 180 degrees if it crosses."""

    name: str
    """Name for files: letters, digits, dots, dashes and underscores."""

    notes: tuple[str, ...] = ()
    """Sentences for the report about what was changed in the polygon."""

    def __post_init__(self) -> None:
        if self.polygon.length > MAX_BORDER_DEGREES:
            raise AreaError(
                f"The area's border is {self.polygon.length:,.0f} degrees long; the limit is "
                f"{MAX_BORDER_DEGREES:,.0f}, ten times the most ragged coast. Simplify the "
                "polygon, or split it."
            )
        if self.km2 < MIN_AREA_KM2:
            raise AreaError(
                "The area is smaller than a square metre, and a pixel covers a hundred. Check its "
                "coordinates; they should be longitude, latitude, in degrees."
            )
        if self.km2 > MAX_AREA_KM2:
            raise AreaError(
                f"The area has {self.km2:,.0f} km2; the limit for one map is {MAX_AREA_KM2:,.0f}, "
                "more than any country. Split the area, and map its parts one by one."
            )

    @property
    def km2(self) -> float:
        """Square kilometres on the WGS 84 ellipsoid; edges are straight in degrees."""
        geod = Geod(ellps="WGS84")
        parts = shapely.get_parts(shapely.segmentize(self.polygon, 0.1))
        oriented = [shapely.geometry.polygon.orient(part) for part in parts]
        return sum(float(geod.geometry_area_perimeter(part)[0]) for part in oriented) / 1e6


class HasGeoInterface(Protocol):
    """An object that can give GeoJSON, such as those of shapely, geopandas and pystac."""

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """A GeoJSON geometry, feature or feature collection."""
        ...


AreaLike: TypeAlias = str | Path | Sequence[float] | HasGeoInterface
"""Types that ``load_area`` accepts."""


def load_area(source: AreaLike, *, layer: str | None = None) -> Area:
    """Load an area of interest.

    Args:
        source: path of a vector file (all its polygons are united); the text
            ``west,south,east,north`` or these four numbers, degrees; a shapely geometry or any
            object with ``__geo_interface__``, in degrees; or a GeoDataFrame or GeoSeries, in its
            own CRS. Longitudes may go on past 180, to 360.
        layer: layer to read from a file that has several.

    Raises:
        AreaError: the file is missing or unreadable, has no polygons, no known CRS or several
            layers, its coordinates are not longitude and latitude, its edges cross too often, or
            the area is too small or larger than any country.
        UsageError: PROJ cannot be used.

    """
    check_proj()
    if not isinstance(source, str | Path):
        return _from_object(source)
    box = _numbers(str(source))
    if box is not None:
        return _from_box(*box)
    path = Path(source)
    if not path.is_dir():  # a folder may hold a Shapefile
        check_is_file(path, AreaError)
    if not path.exists():
        raise AreaError(f"No file {source}. Give {FORMATS}, or west,south,east,north in degrees.")
    with _area_errors(), open_vectors(path, columns=False) as file:
        return _from_layer(file.read(layer), str(path), _safe(path.stem))


@contextmanager
def _area_errors() -> Iterator[None]:
    """What is wrong with a vector file is wrong with the area."""
    try:
        yield
    except AreaError:
        raise
    except UsageError as error:
        raise AreaError(str(error)) from error


def _from_layer(layer: VectorLayer, source: str, name: str) -> Area:
    notes: list[str] = []
    polygons = _polygons(source, layer.shapes, notes)
    polygons = _to_degrees(source, polygons, layer, notes)
    return Area(_united(polygons, source, notes), name, tuple(notes))


def _from_object(source: Any) -> Area:
    """The area of four numbers, or of an object with ``__geo_interface__``."""
    kind = type(source).__name__
    if not hasattr(source, "__geo_interface__"):
        try:
            west, south, east, north = (float(number) for number in source)
        except (TypeError, ValueError):
            raise AreaError(
                f"The area is of type {kind}. Give a path, west, south, east and "
                "north in degrees, or a geometry: shapely's, a GeoDataFrame, or any object with "
                "__geo_interface__."
            ) from None
        return _from_box(west, south, east, north)
    try:
        crs = understood_crs(getattr(source, "crs", None) or CRS.from_epsg(4326))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # coordinates that are not numbers are refused below
            shapes = np.array(list(geometries(source.__geo_interface__)), dtype=object)
    except CRSError as error:
        raise AreaError(
            f"The CRS of the {kind} is not understood. Convert it to longitude and latitude "
            "(EPSG:4326)."
        ) from error
    except (shapely.errors.ShapelyError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AreaError(
            f"The {kind} has a geometry that cannot be read ({first_line(error)})."
        ) from error
    with _area_errors():
        return _from_layer(VectorLayer(kind, shapes, crs), f"the {kind}", "area")


def _numbers(text: str) -> tuple[float, float, float, float] | None:
    try:
        west, south, east, north = (float(number) for number in text.split(","))
    except ValueError:
        return None
    return west, south, east, north


def _from_box(west: float, south: float, east: float, north: float) -> Area:
    text = f"{west:g},{south:g},{east:g},{north:g}"
    if not all(map(math.isfinite, (west, south, east, north))):
        raise AreaError(f"The box {text} is not four numbers; give west,south,east,north.")
    check_degrees(np.array([[west, south], [east, north]]), f"The box {text}")
    if west >= east:
        raise AreaError(
            f"The west side of the box {text} is not west of its east side. Give "
            "west,south,east,north; for an area that crosses 180 degrees, an east side past 180, "
            "as in 177,-20,182,-15."
        )
    if south >= north:
        raise AreaError(
            f"The south side of the box {text} is not south of its north side. Give "
            "west,south,east,north."
        )
    if east - west > 180:
        raise AreaError(
            f"The box {text} spans more than 180 degrees of longitude; give a smaller one."
        )
    name = "area_" + "_".join(f"{value:g}" for value in (west, south, east, north))
    box = unwrapped(shapely.box(west, south, east, north), f"The box {text}")
    return Area(shapely.MultiPolygon(cut_at_180(box)), _safe(name))


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:80] or "area"


def _polygons(source: str, shapes: NDArray[np.object_], notes: list[str]) -> NDArray[np.object_]:
    """All polygons of some geometries, singly."""
    shapes = np.array([shape for shape in shapes if shape is not None and not shape.is_empty])
    if not shapes.size:
        raise AreaError(f"{source} is empty: it has no geometry. Give one with a polygon.")
    parts = shapely.get_parts(shapes)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)  # nested collections
    is_polygon = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    polygons = parts[is_polygon & ~shapely.is_empty(parts)]
    others = sorted({part.geom_type for part in parts[~is_polygon] if not part.is_empty})
    if not polygons.size:
        raise AreaError(
            f"{source} has no polygons, only {' and '.join(others) or 'empty geometries'}. Give "
            "the outline of the area as a polygon."
        )
    if others:
        notes.append(f"{' and '.join(others)} geometries of the area were ignored.")
    if not np.isfinite(shapely.get_coordinates(polygons)).all():
        raise AreaError(f"{source} has coordinates that are not numbers. Repair them.")
    return polygons


def _to_degrees(
    source: str, polygons: NDArray[np.object_], layer: VectorLayer, notes: list[str]
) -> NDArray[np.object_]:
    """Polygons in longitude and latitude."""
    crs, corners = layer.crs, shapely.get_coordinates(polygons)
    like_degrees = bool((np.abs(corners) <= (360, 90)).all())
    if crs is None:
        if layer.kind not in _DEGREES_UNLESS_SAID or not like_degrees:
            raise AreaError(
                f"{source} has no CRS. Add it (a Shapefile needs its .prj file), or "
                "convert it to longitude and latitude (EPSG:4326)."
            )
        notes.append(
            "The area's file has no CRS; its coordinates were read as longitude and latitude."
        )
        return polygons
    if crs.is_projected and like_degrees:
        raise AreaError(
            f"{source} has coordinates that look like degrees, but its CRS is {crs.name}, in "
            f"{crs.axis_info[0].unit_name}s. Give it the right CRS, such as EPSG:4326."
        )
    converted = to_degrees(polygons, crs, source)
    if converted is not polygons:
        code = crs.to_authority(min_confidence=70)
        notes.append(f"The area was converted from {':'.join(code) if code else crs.name}.")
    if doubt := datum_doubt(crs, corners, source):
        notes.append(doubt)
    return converted


@np.errstate(all="ignore")  # GEOS meets corners that are next to each other in the last bit
def _united(polygons: NDArray[np.object_], source: str, notes: list[str]) -> shapely.MultiPolygon:
    """All polygons as one, repaired and cut at 180 degrees."""
    check_degrees(shapely.get_coordinates(polygons), source)
    whole = np.array([unwrapped(polygon, source) for polygon in polygons], dtype=object)
    valid = repaired(whole, source)
    parts = [part for shape in valid for part in cut_at_180(shape)]
    pieces = shapely.get_parts(shapely.get_parts(parts))  # a repair may leave lines beside polygons
    pieces = pieces[shapely.get_type_id(pieces) == shapely.GeometryType.POLYGON]
    kept = [
        part
        for part in shapely.get_parts(united(pieces, source))
        if part.geom_type == "Polygon" and 2 * part.area > _THINNEST_DEGREES * part.length
    ]
    if not kept:
        raise AreaError(f"The polygons of {source} have no area. Check their coordinates.")
    if any(one is not other for one, other in zip(valid, whole, strict=True)):
        notes.append("The area's polygon crosses or touches itself; it was repaired.")
    if len(parts) > len(valid):
        notes.append("The area's polygon crosses 180 degrees; it was cut there.")
    elif any(one is not other for one, other in zip(whole, polygons, strict=True)):
        notes.append("The area's longitudes go past 180 degrees; they were read as west of 0.")
    return shapely.MultiPolygon(kept)
