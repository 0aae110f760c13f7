"""Regions: polygons with names, read from a file and laid onto the pixels of a map."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Geod

from lulcmap.errors import UsageError
from lulcmap.evaluation import ClassMap, pixel_lonlat, transformer
from lulcmap.geo import datum_doubt, open_vectors, repaired, to_degrees
from lulcmap.products.coverage import polygon_edges
from lulcmap.products.degrees import clipped, cut, unwrapped

UNNAMED = "(no name)"
"""Region of polygons without a name."""

_NAME_COLUMNS = ("name", "region", "district", "province", "admin", "name_en")
"""Columns that are taken for the names, in this order, whatever their case."""

_MAX_EDGE_DEG = 0.01
"""Longest edge of a polygon in degrees before it is projected; it then bends by less than 0.1 m."""

_MAX_LON = 540
"""Largest longitude of a region, degrees: half a turn past the one that is written as 360."""

_MIN_OVERLAP = 1e-4
"""Share of the smaller of two regions above which their overlap is told; borders drawn twice differ
by less."""

_MAX_TOLD = 5
"""Regions that a message names."""

_MAX_COLUMNS, _EXAMPLE = 12, 30
"""Columns that a message names, and letters of their first value."""

WGS84 = CRS.from_epsg(4326)


@dataclass(frozen=True)
class NamedRegions:
    """The regions of a file, one for each name."""

    path: Path
    """Path of the file."""

    names: tuple[str, ...]
    """Names of the regions, in the order of the file."""

    crs: CRS
    """CRS of the file."""

    shapes: NDArray[np.object_]
    """(R,) polygons, in the CRS of the file."""

    degrees: NDArray[np.object_]
    """(R,) the same, valid: longitude, latitude, degrees on WGS 84, cut at 180 degrees."""

    notes: tuple[str, ...]
    """What a reader has to know of them, in sentences."""

    @cached_property
    def square_metres(self) -> NDArray[np.float64]:
        """(R,) areas on the ellipsoid, square metres."""
        geod = Geod(ellps="WGS84")
        areas = np.zeros(len(self.names))
        pieces, region = shapely.get_parts(
            shapely.segmentize(self.degrees, _MAX_EDGE_DEG), return_index=True
        )
        for piece, i in zip(pieces, region.tolist(), strict=True):
            ring = shapely.geometry.polygon.orient(piece)
            areas[i] += geod.geometry_area_perimeter(ring)[0]
        return areas

    def on_map(self, class_map: ClassMap) -> list[NDArray[np.float64]]:
        """(n, 4) edges of each region in columns and rows of a map, as of ``polygon_edges``.

        Parts far from the map are left out, for its CRS may have no place for them.

        Raises:
            UsageError: a region cannot be converted to the CRS of the map.

        """
        box = _degree_box(class_map)
        return [polygon_edges(self._pieces(i, class_map, box)) for i in range(len(self.names))]

    def _pieces(
        self, i: int, class_map: ClassMap, box: tuple[float, float, float, float]
    ) -> NDArray[np.object_]:
        """Polygons of a region near a map, in its columns and rows."""
        to_map = transformer(WGS84, class_map.crs)
        pieces = []
        for piece, turn in clipped(self.degrees[i], box):
            shift = turn if class_map.crs.is_geographic else 0.0

            def project(xy: NDArray[np.float64], shift: float = shift) -> NDArray[np.float64]:
                xs, ys = to_map.transform(*xy.T)
                rows, cols = class_map.pixels(xs + shift, ys)
                return np.column_stack([cols, rows])

            projected = shapely.transform(shapely.segmentize(piece, _MAX_EDGE_DEG), project)
            if not np.isfinite(shapely.get_coordinates(projected)).all():
                raise UsageError(
                    f"The region {self.names[i]!r} of {self.path} cannot be converted to the CRS "
                    f"of {class_map.path} ({class_map.crs.name}). Check the CRS of both files."
                )
            pieces.append(projected)
        return np.array(pieces, object)

    def overlap_note(self) -> list[str]:
        """A sentence on the regions that overlap, if some do."""
        tree = shapely.STRtree(self.degrees)
        one, other = tree.query(self.degrees, predicate="intersects")
        one, other = one[one < other], other[one < other]
        shared = shapely.area(shapely.intersection(self.degrees[one], self.degrees[other]))
        areas = shapely.area(self.degrees)
        found = shared > _MIN_OVERLAP * np.minimum(areas[one], areas[other])
        pairs = [
            f"{self.names[a]} and {self.names[b]}"
            for a, b in zip(one[found].tolist(), other[found].tolist(), strict=True)
        ]
        if not pairs:
            return []
        return [f"Regions overlap, and what they share counts in each: {told(pairs, '; ')}."]


def load_named_regions(path: Path, *, column: str | None, layer: str | None) -> NamedRegions:
    """Load regions; features of one name are one region.

    Args:
        path: path of a GeoPackage, Shapefile, GeoJSON or another vector file, in any CRS.
        column: column with their names; None to take the one that looks like it.
        layer: layer to read, where the file has several.

    Raises:
        UsageError: the file cannot be read, holds other shapes than polygons, or the column is
            missing or cannot be told.

    """
    with open_vectors(path) as file:
        found = file.read(layer)
    if found.crs is None:
        raise UsageError(f"{path} has no CRS; save it with one, such as EPSG:4326.")
    is_shape = ~(shapely.is_missing(found.shapes) | shapely.is_empty(found.shapes))
    shapes = found.shapes[is_shape]
    kinds = set(shapely.get_type_id(shapes).tolist())
    if not kinds or not kinds <= {shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON}:
        raise UsageError(f"{path} has {_kinds(shapes)}; regions are polygons.")
    datum_doubt(found.crs, shapely.get_coordinates(shapes), str(path))
    notes = []
    if column is None:
        column = _guessed_column(path, found.columns)
        notes.append(f"Regions are named by the column {column!r} of {path.name}.")
    elif column not in found.columns:
        names = ", ".join(found.columns) or "none"
        raise UsageError(f"{path} has no column {column!r}; it has {names}. Give one of them.")
    labels = np.array([_label(value) for value in found.columns[column]], object)[is_shape].tolist()
    if not is_shape.all():
        notes.append(f"Features of {path.name} without a shape, left out: {(~is_shape).sum():,}.")
    if UNNAMED in labels:
        count = labels.count(UNNAMED)
        notes.append(f"Regions without a name, counted together as {UNNAMED}: {count:,}.")
    members: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        members.setdefault(label, []).append(i)
    return _named(path, found.crs, shapes, members, notes)


def _named(
    path: Path,
    crs: CRS,
    shapes: NDArray[np.object_],
    members: Mapping[str, Sequence[int]],
    notes: Sequence[str],
) -> NamedRegions:
    """The regions of some polygons, given which of them have each name."""
    groups, source = list(members.values()), str(path)
    degrees = _united(_in_degrees(shapes, crs, source), groups, source)
    return NamedRegions(
        path,
        tuple(members),
        crs,
        _united(shapes, groups, source),
        np.array([cut(region) for region in degrees], object),
        tuple(notes),
    )


def told(names: Sequence[str], separator: str = ", ") -> str:
    """Some names, the first ones of many."""
    more = f"{separator}and {len(names) - _MAX_TOLD:,} more" if len(names) > _MAX_TOLD else ""
    return separator.join(names[:_MAX_TOLD]) + more


def _label(value: Any) -> str:
    """The name of a region as text in one line."""
    if value is None or (np.ndim(value) == 0 and value != value):
        return UNNAMED
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers with a gap is read as decimals
    return one_line(str(value)) or UNNAMED


def one_line(text: str) -> str:
    """A text without characters that do not print, and without spaces at its ends."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _guessed_column(path: Path, values_of: Mapping[str, NDArray[Any]]) -> str:
    """The column with the names."""
    lower = {name.lower(): name for name in reversed(list(values_of))}
    for name in _NAME_COLUMNS:
        if name in lower:
            return lower[name]
    columns = {name: _example(values) for name, values in values_of.items()}
    texts = [name for name, example in columns.items() if isinstance(example, str)]
    if len(texts) == 1:
        return texts[0]
    shown = [f"{name} ({_label(columns[name])[:_EXAMPLE]}, ...)" for name in (texts or columns)]
    more = f", and {len(shown) - _MAX_COLUMNS} more" if len(shown) > _MAX_COLUMNS else ""
    raise UsageError(
        f"{path} has no column 'name'. Choose the one with the names of the regions with "
        f"--region-column: {', '.join(shown[:_MAX_COLUMNS]) or 'there is none, add one'}{more}."
    )


def _example(values: NDArray[Any]) -> Any:
    """The first value of a column that is known."""
    known = (value for value in values if _label(value) != UNNAMED)
    return next(known, None)


def _kinds(shapes: NDArray[np.object_]) -> str:
    """What a file holds instead of polygons."""
    kinds = Counter(shape.geom_type for shape in shapes)
    return " and ".join(f"{count:,} {kind}" for kind, count in kinds.items()) or "no shapes"


def _in_degrees(shapes: NDArray[np.object_], crs: CRS, source: str) -> NDArray[np.object_]:
    """(n,) longitude and latitude of polygons, degrees, in one piece across 180 degrees."""
    if crs.is_geographic:
        shapes = np.array([unwrapped(shape, source) for shape in shapes], object)
    # Before the edges are cut into short ones: GEOS would drop parts of a polygon that crosses
    # itself.
    degrees = to_degrees(_repaired(shapes, source), crs, source)
    if (np.abs(shapely.get_coordinates(degrees)) > (_MAX_LON, 90)).any():
        raise UsageError(
            f"{source} has coordinates that do not exist in its CRS ({crs.name}). Check that the "
            "CRS is the right one."
        )
    return np.array([unwrapped(shape, source) for shape in degrees], object)


def _united(
    shapes: NDArray[np.object_], groups: Sequence[Sequence[int]], source: str
) -> NDArray[np.object_]:
    """(R,) the shapes of each group as one valid multipolygon."""
    valid = _repaired(shapes, source)
    wholes = [
        valid[group[0]] if len(group) == 1 else shapely.union_all(valid[list(group)])
        for group in groups
    ]
    return np.array([_polygons(whole) for whole in wholes], object)


def _repaired(shapes: NDArray[np.object_], source: str) -> NDArray[np.object_]:
    """(n,) valid multipolygons."""
    return np.array([_polygons(shape) for shape in repaired(shapes, source)], object)


def _polygons(shape: shapely.Geometry) -> shapely.MultiPolygon:
    """The polygons of a geometry; a repair may leave lines and points beside them."""
    parts = shapely.get_parts([shape])
    while (shapely.get_type_id(parts) > shapely.GeometryType.POLYGON).any():
        parts = shapely.get_parts(parts)
    return shapely.multipolygons(
        parts[shapely.get_type_id(parts) == shapely.GeometryType.POLYGON].tolist()
    )


def _degree_box(class_map: ClassMap) -> tuple[float, float, float, float]:
    """West, south, east and north of a map with some room, degrees; west may lie below -180."""
    height, width = class_map.shape
    at = np.linspace(0, height, 33), np.linspace(0, width, 33)
    lon, lat = pixel_lonlat(class_map, *np.meshgrid(*at, indexing="ij"))
    known = np.isfinite(lon) & np.isfinite(lat)
    if not known.any():
        raise UsageError(f"{class_map.path} lies outside its CRS ({class_map.crs.name}).")
    lon, lat = lon[known], lat[known]
    centre = lon[len(lon) // 2]
    if not class_map.crs.is_geographic:
        lon = (lon - centre + 180) % 360 - 180 + centre
    middle = (lon.min() + lon.max()) / 2
    half = min((lon.max() - lon.min()) * 0.6 + 1, 180)
    room = (lat.max() - lat.min()) * 0.1 + 1
    south, north = max(lat.min() - room, -90), min(lat.max() + room, 90)
    return float(middle - half), float(south), float(middle + half), float(north)
