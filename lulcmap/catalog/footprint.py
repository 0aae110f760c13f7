"""Footprints of items, in each of the ways in which catalogues write them near 180 degrees.

Longitudes may end at 180, continue past it, or jump; a geometry may be split there or not; a bbox
may have its west in the east (RFC 7946), lie beyond 180, or run round the globe. Each becomes the
same polygons between -180 and 180. No scene is as wide as half the globe.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray

from lulcmap.catalog.skip import SkippedItem

Box = tuple[float, float, float, float]
"""West, south, east, north, degrees; west > east where it crosses 180 degrees."""

_GLOBE: Box = (-180, -90, 180, 90)

_WIDEST_M = 400_000.0
"""Width of the widest scene, metres: a slice of Sentinel-1 across its direction of flight."""

_DEGREE_M = 111_320.0
"""Length of a degree along the equator, metres."""


def item_footprint(item: Mapping[str, Any]) -> shapely.Geometry:
    """Footprint of an item, degrees: its geometry, or its bbox if that cannot be used.

    Returns:
        A valid Polygon or MultiPolygon between -180 and 180 degrees, cut at 180 if it crosses.

    Raises:
        SkippedItem: it has neither.

    """
    shape = _from_geometry(item.get("geometry"))
    if shape is not None:
        return shape
    box = _read_bbox(item.get("bbox"))
    if box is None and item.get("bbox"):
        raise SkippedItem("its bbox is not in degrees")
    if box is None:
        raise SkippedItem("it has neither a geometry nor a bbox")
    parts = [shapely.box(*part) for part in _cut(_spread(box))]
    return parts[0] if len(parts) == 1 else shapely.MultiPolygon(parts)


def plain_footprints(items: Sequence[Mapping[str, Any]]) -> list[shapely.Geometry | None]:
    """Footprints of items whose geometry is one closed ring between -180 and 180 degrees.

    Nearly all items have such a one. Those of a page are made in less than half of the time that
    each alone takes; for any other item it is None, and ``item_footprint`` tells.
    """
    shapes: list[shapely.Geometry | None] = [None] * len(items)
    rings = {
        place: ring
        for place, item in enumerate(items)
        if (ring := _plain_ring(item.get("geometry"))) is not None
    }
    if not rings:
        return shapes
    try:
        points = np.array(list(chain.from_iterable(rings.values())), float).reshape(-1, 2)
    except OverflowError:  # a whole number that has no float
        return shapes
    counts = [len(ring) // 2 for ring in rings.values()]
    starts = np.cumsum([0, *counts[:-1]])
    low, high = np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts)
    # NaN compares as false
    is_within: NDArray[np.bool_] = np.all((low >= _GLOBE[:2]) & (high <= _GLOBE[2:]), axis=1)
    is_within[is_within] = (high[is_within] - low[is_within])[:, 0] <= 180
    inside = np.repeat(is_within, counts)
    owners = np.repeat(np.cumsum(is_within) - 1, counts)
    polygons = shapely.polygons(shapely.linearrings(points[inside], indices=owners[inside]))
    places = np.array(list(rings))[is_within].tolist()
    is_valid = shapely.is_valid(polygons).tolist()
    for place, shape, is_good in zip(places, polygons.tolist(), is_valid, strict=True):
        shapes[place] = shape if is_good else None
    return shapes


def item_box(item: Mapping[str, Any], footprint: shapely.Geometry) -> Box:
    """Box around an item, degrees: around its footprint, and its bbox where that meets it.

    Args:
        item: STAC item, as JSON.
        footprint: its footprint, as of ``item_footprint``.

    """
    box = _bounds(footprint)
    given = _read_bbox(item.get("bbox"))
    if given is not None and _width(given) <= 180:
        box = _joined(box, given) or box
    west, south, east, north = box
    if east - west >= 360:
        return -180.0, south, 180.0, north
    west, east = (lon if -180 <= lon <= 180 else (lon + 180) % 360 - 180 for lon in (west, east))
    return west, south, east, north


def middle_longitude(box: Box) -> float:
    """Longitude of the middle of a box, degrees; past 180 if it crosses."""
    west, _, east, _ = box
    return (west + east + 360 * (east < west)) / 2


def _from_geometry(geometry: Any) -> shapely.Geometry | None:
    """The polygons of a GeoJSON geometry; None if it has none, or they cannot be of a scene."""
    if not isinstance(geometry, Mapping):
        return None
    try:
        shape = shapely.from_geojson(json.dumps(geometry))
        parts = _polygons(shape)
        unwrapped = [_unwrapped(part) for part in parts]
        if not parts or None in unwrapped:
            return None
        if any(one is not part for one, part in zip(unwrapped, parts, strict=True)):
            shape = shapely.union_all([shapely.make_valid(part) for part in unwrapped])
        return _within_globe(shapely.make_valid(shape))
    except (ValueError, TypeError, RecursionError, shapely.errors.GEOSException):
        return None


def _plain_ring(geometry: Any) -> list[float] | None:
    """The coordinates, one after the other, of a GeoJSON polygon of one closed ring in the plane.

    None for any other geometry.
    """
    rings = geometry.get("coordinates") if isinstance(geometry, Mapping) else None
    if not isinstance(rings, list) or len(rings) != 1 or geometry.get("type") != "Polygon":
        return None
    (ring,) = rings
    is_closed = isinstance(ring, list) and len(ring) >= 4 and ring[0] == ring[-1]
    if not is_closed or set(map(type, ring)) != {list} or set(map(len, ring)) != {2}:
        return None
    flat = list(chain.from_iterable(ring))
    return flat if _ARE_NUMBERS.issuperset(map(type, flat)) else None


_ARE_NUMBERS = frozenset((int, float))


def _polygons(shape: shapely.Geometry) -> list[shapely.Polygon]:
    """The polygons of a geometry, those in collections too; lines and points are no footprint."""
    parts = [shape]
    while any(part.geom_type not in _SINGLE for part in parts):
        parts = shapely.get_parts(parts).tolist()
    return [part for part in parts if isinstance(part, shapely.Polygon) and not part.is_empty]


_SINGLE = {"Point", "LineString", "LinearRing", "Polygon"}


def _unwrapped(part: shapely.Polygon) -> shapely.Polygon | None:
    """A polygon that does not run round the globe; None if it cannot be one of a scene."""
    west, south, east, north = part.bounds
    if not (math.isfinite(west + east) and south >= -90 and north <= 90):
        return None
    if max(-west, east) > 540:
        return None
    if east - west <= 180:
        return part
    moved = shapely.transform(part, lambda xy: xy + np.array([360, 0]) * (xy[:, :1] < 0))
    west, _, east, _ = moved.bounds
    return moved if east - west <= 180 else None


def _within_globe(shape: shapely.Geometry) -> shapely.Geometry | None:
    """The polygons of a shape, what lies beyond 180 degrees moved to the other side."""
    parts = _polygons(shape)
    if not parts:
        return None
    if shape.bounds[0] >= -180 and shape.bounds[2] <= 180:
        return shape if len(parts) == len(shapely.get_parts(shape)) else shapely.union_all(parts)
    globe = shapely.box(*_GLOBE)
    turned = [
        shapely.intersection(shapely.affinity.translate(part, turn), globe)
        for part in parts
        for turn in (-360, 0, 360)
    ]
    kept = [polygon for shape in turned for polygon in _polygons(shape)]
    return shapely.union_all(kept) if kept else None


def _bounds(shape: shapely.Geometry) -> Box:
    """Box around polygons between -180 and 180; past 180 where it crosses."""
    west, south, east, north = shape.bounds
    if east - west <= 180:
        return west, south, east, north
    boxes = [part.bounds for part in _polygons(shape)]
    west = min(box[0] + 360 * (box[2] <= 0) for box in boxes)
    east = max(box[2] + 360 * (box[2] <= 0) for box in boxes)
    return (west, south, east, north) if east - west <= 180 else (-180.0, south, 180.0, north)


def _read_bbox(bbox: Any) -> Box | None:
    """A bbox with west <= east, past 180 where that is written; None if it is none in degrees."""
    if not isinstance(bbox, list | tuple) or len(bbox) not in (4, 6):
        return None
    sides = bbox if len(bbox) == 4 else [bbox[i] for i in (0, 1, 3, 4)]
    if not all(isinstance(side, int | float) and abs(side) <= 540 for side in sides):
        return None
    west, south, east, north = (float(side) for side in sides)
    if not -90 <= south <= north <= 90 or abs(east - west) > 360:
        return None
    return west, south, east + 360 * (west > east), north


def _spread(box: Box) -> Box:
    """A box that surely holds the scene, where its own is too wide for one.

    The smallest and the largest longitude of corners on both sides of 180 are those nearest to it.
    They do not tell how far the scene reaches from there; nor does a box round the globe tell
    anything.
    """
    west, south, east, north = box
    if east - west <= 180 or (west <= -180 and east >= 180):
        return box
    reach = min(_WIDEST_M / (_DEGREE_M * math.cos(math.radians(min(max(-south, north), 89)))), 80)
    return east - reach, south, west + 360 + reach, north


def _width(box: Box) -> float:
    return box[2] - box[0]


def _joined(box: Box, other: Box) -> Box | None:
    """The box around two boxes; None if they do not meet."""
    for turn in (0, -360, 360):
        west, east = other[0] + turn, other[2] + turn
        if west <= box[2] and east >= box[0] and other[1] <= box[3] and other[3] >= box[1]:
            south, north = min(box[1], other[1]), max(box[3], other[3])
            return min(box[0], west), south, max(box[2], east), north
    return None


def _cut(box: Box) -> Iterator[Box]:
    """The parts of a box between -180 and 180."""
    west, south, east, north = box
    for turn in (-360, 0, 360):
        left, right = max(west + turn, -180.0), min(east + turn, 180.0)
        if left < right or (left == right and west == east):
            yield left, south, right, north
