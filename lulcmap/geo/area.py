"""The area of interest: from a file, four numbers or a geometry to one polygon in degrees."""

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
"""Metres; straight edges in a projected CRS are cut into pieces this long before they are converted
to degrees (a kilometre bends by less than 0.1 m below 80 degrees of latitude)."""

MIN_AREA_KM2 = 1e-6
"""Smallest area, square kilometres; geometry in degrees means nothing below it."""

MAX_AREA_KM2 = 20e6
"""Largest area, square kilometres; Russia has 17.1 million."""

MAX_BORDER_DEGREES = 50_000.0
"""Longest border of an area, degrees, all rings together; the most ragged coasts have about 5,000,
and the time and memory of planning grow with it."""

_FORMATS = "GeoJSON, GeoPackage or Shapefile"


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
            own CRS.
        layer: layer to read from a file that has several.

    Raises:
        AreaError: the file is missing or unreadable, has no polygons, no known CRS or several
            layers, its coordinates are not longitude and latitude, or the area is too small or
            larger than any country.

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
    """The area of four numbers, or of an object with ``__geo_interface__``."""
    if not hasattr(source, "__geo_interface__"):
        try:
            west, south, east, north = (float(number) for number in source)
        except (TypeError, ValueError):
            raise AreaError(
                f"The area is of type {type(source).__name__}. Give a path, west, south, east and "
                "north in degrees, or a geometry: shapely's, a GeoDataFrame, or any object with "
                "__geo_interface__."
            ) from None
        return _from_box(west, south, east, north)
    name = Path(f"the {type(source).__name__}")
    try:
        crs = CRS.from_user_input(getattr(source, "crs", None) or 4326)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # coordinates that are not numbers are refused below
            shapes = np.array(list(_geometries(source.__geo_interface__)), dtype=object)
    except CRSError as error:
        raise AreaError(
            f"The CRS of {name} is not understood. Convert it to longitude and latitude "
            "(EPSG:4326)."
        ) from error
    except (shapely.errors.ShapelyError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise AreaError(
            f"The {type(source).__name__} has a geometry that cannot be read "
            f"({_first_line(error)})."
        ) from error
    polygons = _polygons(name, shapes, notes)
    polygons = _to_degrees(name, polygons, crs, notes)
    return Area(_united(polygons, str(name), notes), "area", tuple(notes))


def _geometries(values: dict[str, Any]) -> Iterator[BaseGeometry]:
    """The geometries of GeoJSON: of a geometry, a feature or a feature collection."""
    if values["type"] == "FeatureCollection":
        for feature in values["features"]:
            yield from _geometries(feature)
    elif values["type"] == "Feature":
        if values["geometry"] is not None:
            yield from _geometries(values["geometry"])
    else:
        yield shapely.force_2d(shapely.geometry.shape(values))


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
    corners = np.array([[west, south], [east, north]])
    _check_degrees(corners, f"The box {text}", crossing=False)
    if west >= east:
        raise AreaError(
            f"The west side of the box {text} is not west of its east side. Give "
            "west,south,east,north; for an area that crosses 180 degrees, give a file."
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
    return Area(shapely.MultiPolygon([shapely.box(west, south, east, north)]), _safe(name))


def _safe(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name).strip("._-")[:80] or "area"


def _layer(path: Path, layer: str | None) -> str | None:
    """The layer to read: the requested one, or the only one with a geometry."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL's remarks; what matters is checked below
            layers = pyogrio.list_layers(path)
    except (pyogrio.errors.DataSourceError, ValueError) as error:
        raise _unreadable(path) from error
    names = [str(name) for name, kind in layers if kind is not None]  # tables have no kind
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
            warnings.simplefilter("ignore")  # coordinates that are not numbers are refused below
            meta, _, blobs, _ = pyogrio.raw.read(path, layer=layer, columns=[], force_2d=True)
            shapes = shapely.from_wkb([] if blobs is None else blobs)
        crs = CRS.from_user_input(meta["crs"]) if meta["crs"] else None
    except CRSError as error:
        raise AreaError(
            f"The CRS of {path} is not understood. Convert the file to longitude and latitude "
            "(EPSG:4326)."
        ) from error
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError) as error:
        raise _unreadable(path) from error
    except (pyogrio.errors.FeatureError, pyogrio.errors.GeometryError) as error:
        raise _unreadable(path) from error
    except (shapely.errors.GEOSException, ValueError) as error:
        raise AreaError(
            f"{path} has a geometry that cannot be read ({_first_line(error)}). Repair it, or "
            "save it again as plain polygons."
        ) from error
    return np.atleast_1d(np.asarray(shapes, dtype=object)), crs


def _unreadable(path: Path) -> AreaError:
    return AreaError(
        f"{path} cannot be read as a vector file: it is damaged, cut short, or not one. "
        f"Give a {_FORMATS} file."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__


def _polygons(path: Path, shapes: NDArray[np.object_], notes: list[str]) -> list[shapely.Polygon]:
    """All polygons of some geometries, singly."""
    shapes = np.array([shape for shape in shapes if shape is not None and not shape.is_empty])
    if not shapes.size:
        raise AreaError(f"{path} is empty: it has no geometry. Give one with a polygon.")
    parts = shapely.get_parts(shapes)
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)  # nested collections
    is_polygon = shapely.get_type_id(parts) == shapely.GeometryType.POLYGON
    polygons = [part for part in parts[is_polygon] if not part.is_empty]
    others = sorted({part.geom_type for part in parts[~is_polygon] if not part.is_empty})
    if not polygons:
        raise AreaError(
            f"{path} has no polygons, only {' and '.join(others) or 'empty geometries'}. Give the "
            "outline of the area as a polygon."
        )
    if others:
        notes.append(f"{' and '.join(others)} geometries of the area were ignored.")
    if not np.isfinite(shapely.get_coordinates(polygons)).all():
        raise AreaError(f"{path} has coordinates that are not numbers. Repair them.")
    return polygons


def _to_degrees(
    path: Path, polygons: list[shapely.Polygon], crs: CRS | None, notes: list[str]
) -> list[shapely.Polygon]:
    """Polygons in longitude and latitude."""
    if crs is None:
        corners = shapely.get_coordinates(polygons)
        if path.suffix.lower() != ".shp" or (np.abs(corners) > (180, 90)).any():
            raise AreaError(
                f"{path} has no CRS. Add it (a Shapefile needs its .prj file), or "
                "convert it to longitude and latitude (EPSG:4326)."
            )
        notes.append(
            "The area's file has no CRS; its coordinates were read as longitude and latitude."
        )
        return polygons
    code = crs.to_authority(min_confidence=70)
    if code in (("EPSG", "4326"), ("OGC", "CRS84")):
        return polygons
    try:
        to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
    except ProjError as error:
        raise AreaError(
            f"The CRS of {path} ({crs.name}) cannot be converted to longitude and latitude. "
            "Convert the file to EPSG:4326."
        ) from error
    if crs.is_projected:
        metres = crs.axis_info[0].unit_conversion_factor or 1.0
        polygons = list(shapely.segmentize(polygons, _MAX_EDGE_M / metres))
    converted = shapely.transform(polygons, lambda xy: np.column_stack(to_degrees.transform(*xy.T)))
    if not np.isfinite(shapely.get_coordinates(converted)).all():
        raise AreaError(
            f"{path} has coordinates that do not exist in its CRS ({crs.name}). Check that the "
            "CRS is the right one."
        )
    notes.append(f"The area was converted from {':'.join(code) if code else crs.name}.")
    return list(converted)


def _united(polygons: list[shapely.Polygon], source: str, notes: list[str]) -> shapely.MultiPolygon:
    """All polygons as one, repaired and cut at 180 degrees."""
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
    """Check that coordinates are longitude, latitude.

    Args:
        xy: (N, 2) coordinates.
        source: what they belong to, for the message.
        crossing: whether longitudes may continue past 180, as in 177 to 182.

    """
    limit = 360 if crossing else 180
    x, y = np.abs(xy).max(axis=0)
    if x <= limit and y <= 90:
        return
    if x <= 90 and y <= 180:
        hint = "They look like latitude, longitude; swap them to longitude, latitude order."
    elif max(x, y) > 1000:
        hint = "They look like metres; give the file its CRS, or convert it to EPSG:4326."
    else:
        hint = "Give degrees: longitude from -180 to 180, latitude from -90 to 90."
    raise AreaError(
        f"{source} has coordinates up to {x:g}, {y:g}, which are not longitude, latitude. {hint}"
    )


def _unwrapped(polygon: shapely.Polygon, source: str) -> shapely.Polygon:
    """The polygon in one piece if it crosses 180 degrees; the same object if it does not."""
    west, _, east, _ = polygon.bounds
    if east - west <= 180 and west >= -180 and east <= 180:
        return polygon
    wide = east - west > 180
    # Without an edge that jumps, the polygon really spans more than half of the globe.
    jumps = np.abs(np.diff(shapely.get_coordinates(polygon.exterior)[:, 0])).max() > 180
    if wide:
        moved = shapely.transform(polygon, lambda xy: np.column_stack([xy[:, 0] % 360, xy[:, 1]]))
    else:
        turn = 360 if west < -180 else 0
        moved = shapely.transform(polygon, lambda xy: xy + np.array([turn, 0]))
    west, _, east, _ = moved.bounds
    # A ring that crosses itself here was cut at 180 degrees by a program that did it wrongly; any
    # repair would be a guess (Fiji cut so and repaired is 13 % too large).
    if (wide and not jumps) or not west < 180 <= east <= west + 180 or not moved.is_valid:
        west, _, east, _ = polygon.bounds
        raise AreaError(
            f"{source} has a polygon from {west:g} to {east:g} degrees of longitude, past 180 "
            "degrees or round the globe, which cannot be repaired. Give longitudes from -180 to "
            "180, and split polygons at 180 degrees."
        )
    return moved


def _cut(whole: BaseGeometry) -> list[BaseGeometry]:
    """The parts on either side of 180 degrees, both between -180 and 180."""
    if whole.bounds[2] <= 180:
        return [whole]
    east = shapely.intersection(whole, shapely.box(-180, -90, 180, 90))
    west = shapely.intersection(whole, shapely.box(180, -90, 540, 90))
    return [east, shapely.transform(west, lambda xy: xy - (360, 0))]
