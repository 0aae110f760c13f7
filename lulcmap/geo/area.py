"""The area of interest: a file, or four numbers, to one polygon in degrees."""

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer
from pyproj.exceptions import CRSError, ProjError
from shapely.geometry.base import BaseGeometry

from lulcmap.errors import AreaError

_MAX_EDGE_M = 1000.0
"""Metres; a straight edge in a projected CRS is cut this finely before it is turned into degrees
(a kilometre bends by less than 0.1 m below 80 degrees of latitude)."""

MIN_AREA_KM2 = 1e-6
"""Square kilometres of an area; geometry in degrees has no meaning for smaller ones."""

MAX_AREA_KM2 = 20e6
"""Square kilometres of one area; Russia has 17.1 million."""

MAX_BORDER_DEGREES = 50_000.0
"""Degrees along all borders of an area; those of the most ragged coasts have some 5,000, and the
time and the memory of a plan grow with them."""

_FORMATS = "GeoJSON, GeoPackage or Shapefile"


@dataclass(frozen=True, slots=True)
class Area:
    """The area to be mapped."""

    polygon: shapely.MultiPolygon
    """Valid; longitude, latitude, degrees (EPSG:4326); cut at 180 degrees where it crosses."""

    name: str
    """For file names: letters, digits, dots, dashes and underscores."""

    notes: tuple[str, ...] = ()
    """What was done to the polygon, sentences for the report."""

    def __post_init__(self) -> None:
        if self.polygon.length > MAX_BORDER_DEGREES:
            raise AreaError(
                f"The area's borders are {self.polygon.length:,.0f} degrees long; the most is "
                f"{MAX_BORDER_DEGREES:,.0f}, ten times the most ragged coast. Simplify the "
                "polygon, or split it."
            )
        if self.km2 < MIN_AREA_KM2:
            raise AreaError(
                "The area has less than a square metre, and a pixel has a hundred. Check its "
                "coordinates; they should be longitude, latitude, in degrees."
            )
        if self.km2 > MAX_AREA_KM2:
            raise AreaError(
                f"The area has {self.km2:,.0f} km2; the most for one map is {MAX_AREA_KM2:,.0f}, "
                "more than any country has. Split the area, and map its parts one by one."
            )

    @property
    def km2(self) -> float:
        """Square kilometres on the WGS 84 ellipsoid; edges are straight in degrees."""
        geod = Geod(ellps="WGS84")
        parts = shapely.get_parts(shapely.segmentize(self.polygon, 0.1))
        whole = [shapely.geometry.polygon.orient(part) for part in parts]
        return sum(float(geod.geometry_area_perimeter(part)[0]) for part in whole) / 1e6


class HasGeoInterface(Protocol):
    """An object with GeoJSON values, as shapely, geopandas, pystac and others have."""

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """A GeoJSON geometry, feature or feature collection."""
        ...


AreaLike: TypeAlias = str | Path | Sequence[float] | HasGeoInterface
"""What ``load_area`` takes."""


def load_area(source: AreaLike, *, layer: str | None = None) -> Area:
    """The area a user asks for.

    Args:
        source: path of a vector file (all its polygons are united); the text
            ``west,south,east,north`` or these four numbers, degrees; a shapely geometry or any
            object with ``__geo_interface__``, in degrees; or a GeoDataFrame or GeoSeries, in its
            own CRS.
        layer: layer of the file, where it has several.

    Raises:
        AreaError: the file is missing, unreadable or without polygons, its CRS is unknown, its
            layers are several, its coordinates are no longitudes and latitudes, or it is larger
            than any country.

    """
    notes: list[str] = []
    if not isinstance(source, str | Path):
        return _from_object(source, notes)
    box = _numbers(str(source))
    if box is not None:
        return _from_box(*box)
    path = Path(source)
    if not path.exists():
        raise AreaError(
            f"No file {source}. Give a {_FORMATS} file, or west,south,east,north in degrees."
        )
    shapes, crs = _read(path, _layer(path, layer))
    polygons = _polygons(path, shapes, notes)
    polygons = _to_degrees(path, polygons, crs, notes)
    polygon = _united(polygons, str(path), notes)
    return Area(polygon, _safe(path.stem), tuple(notes))


def _from_object(source: Any, notes: list[str]) -> Area:
    """The area of four numbers, or of a geometry in memory."""
    if not hasattr(source, "__geo_interface__"):
        try:
            west, south, east, north = (float(number) for number in source)
        except (TypeError, ValueError):
            raise AreaError(
                f"The area is a {type(source).__name__}. Give a path, west, south, east and north "
                "in degrees, or a geometry: shapely's, a GeoDataFrame, or any object with "
                "__geo_interface__."
            ) from None
        return _from_box(west, south, east, north)
    name, crs = Path(f"the {type(source).__name__}"), getattr(source, "crs", None)
    try:
        shapes = np.array(list(_geometries(source.__geo_interface__)), dtype=object)
    except (shapely.errors.ShapelyError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AreaError(
            f"The {type(source).__name__} holds a geometry that cannot be read "
            f"({_first_line(error)})."
        ) from error
    polygons = _polygons(name, shapes, notes)
    polygons = _to_degrees(name, polygons, CRS.from_user_input(crs or 4326), notes)
    return Area(_united(polygons, str(name), notes), "area", tuple(notes))


def _geometries(values: dict[str, Any]) -> Iterator[BaseGeometry]:
    """The geometries of GeoJSON values: of a geometry, a feature or a collection of features."""
    if values["type"] == "FeatureCollection":
        for feature in values["features"]:
            yield from _geometries(feature)
    elif values["type"] == "Feature":
        if values["geometry"] is not None:
            yield from _geometries(values["geometry"])
    else:
        yield shapely.geometry.shape(values)


def _numbers(text: str) -> tuple[float, float, float, float] | None:
    parts = text.split(",")
    try:
        west, south, east, north = (float(part) for part in parts)
    except ValueError:
        return None
    return west, south, east, north


def _from_box(west: float, south: float, east: float, north: float) -> Area:
    text = f"{west:g},{south:g},{east:g},{north:g}"
    if not all(map(math.isfinite, (west, south, east, north))):
        raise AreaError(f"The box {text} is not four numbers; give west,south,east,north.")
    corners = np.array([[west, south], [east, north]])
    _check_degrees(corners, f"The box {text}", crossing=False)
    if west >= east:
        raise AreaError(
            f"The box {text} has its west side at or east of its east side. Give "
            "west,south,east,north; a box that crosses 180 degrees must come as a file."
        )
    if south >= north:
        raise AreaError(
            f"The box {text} has its south side at or north of its north side. Give "
            "west,south,east,north."
        )
    if east - west > 180:
        raise AreaError(
            f"The box {text} spans more than 180 degrees of longitude; give a smaller one."
        )
    name = "area_" + "_".join(f"{value:g}" for value in (west, south, east, north))
    return Area(shapely.MultiPolygon([shapely.box(west, south, east, north)]), _safe(name))


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:80] or "area"


def _layer(path: Path, layer: str | None) -> str | None:
    """The layer to read: the one asked for, or the only one with a geometry."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL's remarks on the file; what matters is checked
            listed = pyogrio.list_layers(path)
    except (pyogrio.errors.DataSourceError, ValueError) as error:
        raise _unreadable(path) from error
    names = [str(name) for name, kind in listed if kind is not None]  # tables have no kind
    if layer is not None and layer not in names:
        raise AreaError(
            f"{path} has no layer {layer!r}; it has {', '.join(names) or 'none with a geometry'}."
        )
    if layer is None and len(names) > 1:
        raise AreaError(f"{path} has several layers: {', '.join(names)}. Choose one with --layer.")
    if not names:
        raise AreaError(f"{path} has no polygons: none of its layers has a geometry.")
    return layer or names[0]


def _read(path: Path, layer: str | None) -> tuple[NDArray[np.object_], CRS | None]:
    """The geometries of a layer, and their CRS."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is no number is refused below, by name
            meta, _, blobs, _ = pyogrio.raw.read(path, layer=layer, columns=[], force_2d=True)
            shapes = shapely.from_wkb([] if blobs is None else blobs)
        crs = CRS.from_user_input(meta["crs"]) if meta["crs"] else None
    except CRSError as error:
        raise AreaError(
            f"The CRS of {path} cannot be understood. Convert the file to longitude and latitude "
            "(EPSG:4326)."
        ) from error
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise _unreadable(path) from error
    except (pyogrio.errors.FeatureError, pyogrio.errors.GeometryError) as error:
        raise _unreadable(path) from error
    except (shapely.errors.GEOSException, ValueError) as error:
        raise AreaError(
            f"{path} holds a geometry that cannot be read ({_first_line(error)}). Repair it, or "
            "save it again as plain polygons."
        ) from error
    return np.atleast_1d(np.asarray(shapes, dtype=object)), crs


def _unreadable(path: Path) -> AreaError:
    return AreaError(
        f"{path} cannot be read as a vector file: it is broken, cut short, or of another kind. "
        f"Give a {_FORMATS} file."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


def _polygons(path: Path, shapes: NDArray[np.object_], notes: list[str]) -> list[shapely.Polygon]:
    """Every polygon of the file, one by one."""
    shapes = np.array([shape for shape in shapes if shape is not None and not shape.is_empty])
    if not shapes.size:
        raise AreaError(f"{path} is empty: it holds no geometry. Give a file with a polygon.")
    parts = shapely.get_parts(shapes)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)  # collections in collections
    is_polygon = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    polygons = [part for part in parts[is_polygon] if not part.is_empty]
    others = sorted({part.geom_type for part in parts[~is_polygon] if not part.is_empty})
    if not polygons:
        raise AreaError(
            f"{path} has no polygons, only {' and '.join(others) or 'empty geometries'}. Give the "
            "outline of the area as a polygon."
        )
    if others:
        notes.append(f"{' and '.join(others)} geometries in the area's file were left out.")
    if not np.isfinite(shapely.get_coordinates(polygons)).all():
        raise AreaError(f"{path} has coordinates that are not numbers. Repair the file.")
    return polygons


def _to_degrees(
    path: Path, polygons: list[shapely.Polygon], crs: CRS | None, notes: list[str]
) -> list[shapely.Polygon]:
    """Polygons in longitude and latitude."""
    if crs is None:
        corners = shapely.get_coordinates(polygons)
        if path.suffix.lower() != ".shp" or (np.abs(corners) > (180, 90)).any():
            raise AreaError(
                f"{path} does not say its CRS. Give the file one (a Shapefile needs its .prj), or "
                "convert it to longitude and latitude (EPSG:4326)."
            )
        notes.append(
            "The area's file does not say its CRS; its coordinates were taken for longitude and "
            "latitude."
        )
        return polygons
    code = crs.to_authority(min_confidence=70)
    if code in (("EPSG", "4326"), ("OGC", "CRS84")):
        return polygons
    try:
        to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
    except ProjError as error:
        raise AreaError(
            f"The CRS of {path} ({crs.name}) has no known place on the Earth. Convert the file to "
            "longitude and latitude (EPSG:4326)."
        ) from error
    if crs.is_projected:
        metres = crs.axis_info[0].unit_conversion_factor or 1.0
        polygons = list(shapely.segmentize(polygons, _MAX_EDGE_M / metres))
    converted = shapely.transform(polygons, lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    if not np.isfinite(shapely.get_coordinates(converted)).all():
        raise AreaError(
            f"{path} has coordinates that do not exist in its CRS ({crs.name}). Check which CRS "
            "they are in."
        )
    notes.append(f"The area was converted from {':'.join(code) if code else crs.name}.")
    return list(converted)


def _united(polygons: list[shapely.Polygon], source: str, notes: list[str]) -> shapely.MultiPolygon:
    """All polygons as one, repaired, and cut at 180 degrees."""
    _check_degrees(shapely.get_coordinates(polygons), source, crossing=True)
    parts = []
    repaired = crossed = False
    for polygon in polygons:
        whole: BaseGeometry = _unwrapped(polygon, source)
        crossed |= whole is not polygon
        if not whole.is_valid:
            whole, repaired = shapely.make_valid(whole), True
        parts += _cut(whole)
    pieces = shapely.get_parts(shapely.get_parts(parts))  # a repair may leave lines beside polygons
    united = shapely.union_all([piece for piece in pieces if piece.geom_type == "Polygon"])
    kept = [part for part in shapely.get_parts(united) if part.geom_type == "Polygon"]
    if not kept or not sum(part.area for part in kept):
        raise AreaError(f"The polygons of {source} have no area. Check their coordinates.")
    if repaired:
        notes.append("The area's polygon crosses or touches itself; it was repaired.")
    if crossed:
        notes.append("The area's polygon crosses 180 degrees; it was cut there.")
    return shapely.MultiPolygon(kept)


def _check_degrees(xy: NDArray[np.float64], source: str, *, crossing: bool) -> None:
    """See that coordinates (N, 2) are longitude, latitude.

    Args:
        xy: (N, 2).
        source: what they are of, for the message.
        crossing: whether longitudes may run on past 180, as in 177 to 182.

    """
    limit = 360 if crossing else 180
    x, y = np.abs(xy).max(axis=0)
    if x <= limit and y <= 90:
        return
    if x <= 90 and y <= 180:
        hint = "It looks like latitude, longitude order; swap them to longitude, latitude."
    elif max(x, y) > 1000:
        hint = "It looks like metres; give the file its CRS, or convert it to EPSG:4326."
    else:
        hint = "Give degrees: longitude from -180 to 180, latitude from -90 to 90."
    raise AreaError(
        f"{source} has coordinates up to {x:g}, {y:g}, which are no longitude and latitude. {hint}"
    )


def _unwrapped(polygon: shapely.Polygon, source: str) -> shapely.Polygon:
    """The polygon in one piece where it crosses 180 degrees; the same object where it does not."""
    west, _, east, _ = polygon.bounds
    if east - west <= 180 and west >= -180 and east <= 180:
        return polygon
    wide = east - west > 180
    # Without an edge that jumps, the polygon really reaches round more than half of the globe.
    jumps = np.abs(np.diff(shapely.get_coordinates(polygon.exterior)[:, 0])).max() > 180
    if wide:
        moved = shapely.transform(polygon, lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
    else:
        turn = 360 if west < -180 else 0
        moved = shapely.transform(polygon, lambda xy: xy + np.array([turn, 0]))
    west, _, east, _ = moved.bounds
    # A ring that crosses itself here was cut at 180 degrees by a program that did not know how;
    # any repair would be a guess (Fiji so cut and repaired is 13 % too large).
    if (wide and not jumps) or not west < 180 <= east <= west + 180 or not moved.is_valid:
        west, _, east, _ = polygon.bounds
        raise AreaError(
            f"{source} has a polygon that runs from {west:g} to {east:g} degrees of longitude, "
            "past 180 degrees or round the globe, and cannot be mended. Give longitudes from -180 "
            "to 180, and a polygon that crosses 180 degrees split there."
        )
    return moved


def _cut(whole: BaseGeometry) -> list[BaseGeometry]:
    """The parts on either side of 180 degrees, both between -180 and 180."""
    if whole.bounds[2] <= 180:
        return [whole]
    near = shapely.intersection(whole, shapely.box(-180, -90, 180, 90))
    far = shapely.intersection(whole, shapely.box(180, -90, 540, 90))
    return [near, shapely.transform(far, lambda xy: xy - (360, 0))]
