"""From an area to its UTM zones, to its parts far from each other, and to the CRS of a map."""

import math
from functools import cache
from itertools import pairwise

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry.base import BaseGeometry

from lulcmap.geo.grid import polygons, utm_zone

NEAR = 6.0
"""Degrees from its central meridian that a zone's grid may be stretched for a whole map; the scale
there is off by 0.2 % on the equator."""

APART = 500_000.0
"""Metres; parts of an area that are further from all others are maps of their own."""

_CELL = 250_000.0
"""Metres a side of a cube; places in one are nearer to each other than ``APART``."""

_FINE = 1000.0
"""Metres a side of a cube, of which one corner of a part's border is kept."""

_FEW = 10_000
"""Pairs of places, whose distances are quicker taken than sorted out."""

_LONGEST_EDGE = 0.1
"""Degrees; between places so near on two borders 500 km apart, the distance is off by 0.1 km."""

JOINT = 640.0
"""Metres on either side of a border of zones in which both zones are mapped, and their classes
joined: 64 pixels, as the overlap of windows."""

_DEGREE = 111_195.0
"""Metres of a degree of latitude."""

_SOUTH, _NORTH = -80, 84

_BORDERS = {(56, 64): (0, 3, 12), (72, 84): (0, 9, 21, 33, 42)}
"""Latitudes of Norway and of Svalbard, and the zones' borders there, from the first to the last
that is not every 6 degrees (MGRS)."""


def split(polygon: shapely.MultiPolygon) -> list[tuple[int, shapely.MultiPolygon]]:
    """The part of an area in each UTM zone, by EPSG code; together they are the area.

    Args:
        polygon: longitude, latitude, degrees.

    Raises:
        AreaError: it reaches beyond 80 S or 84 N.

    """
    west, south, east, north = polygon.bounds
    for latitude in (south, north):
        utm_zone(west, latitude)  # refuses the poles
    strips = _strips(west, south, east, north)
    if len(strips) == 1:
        return [(code, polygon) for code in strips]
    parts = {code: polygons(shapely.intersection(polygon, strip)) for code, strip in strips.items()}
    return sorted((code, part) for code, part in parts.items() if part.area > 0)


def beyond(polygon: shapely.MultiPolygon, code: int) -> shapely.MultiPolygon:
    """What of an area lies outside a zone, and within ``JOINT`` of it or a little more.

    Args:
        polygon: longitude, latitude, degrees.
        code: EPSG code of the zone.

    Returns:
        Longitude, latitude, degrees; maybe empty.

    """
    frames = []
    up = JOINT / _DEGREE
    _, least, _, most = polygon.bounds
    for west, lowest, east, highest in _boxes()[code]:
        south, north = max(lowest, least), min(highest, most)
        if south - up > north + up:
            continue
        aside = up / math.cos(math.radians(max(abs(south), abs(north)) + up))
        frame = shapely.box(west - aside, south - up, east + aside, north + up)
        frames += [frame, *(shapely.affinity.translate(frame, turn) for turn in (-360, 360))]
    own = shapely.union_all([shapely.box(*box) for box in _boxes()[code]])
    around = shapely.difference(shapely.union_all(frames), own)
    return polygons(shapely.intersection(polygon, around))


def distance(code: int, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Metres from some places to a zone, good to 1 % where they are a few kilometres.

    Args:
        code: EPSG code of the zone.
        lon: degrees; may run on past 180.
        lat: degrees.

    Returns:
        In the form of ``lon``; 0 inside.

    """
    metres = np.full(lon.shape, np.inf)
    for west, south, east, north in _boxes()[code]:
        aside = np.abs((lon - (west + east) / 2 + 180) % 360 - 180) - (east - west) / 2
        up = np.abs(lat - (south + north) / 2) - (north - south) / 2
        aside = np.maximum(aside, 0) * np.cos(np.radians(lat))
        np.minimum(metres, _DEGREE * np.hypot(aside, np.maximum(up, 0)), out=metres)
    return metres


def _strips(west: float, south: float, east: float, north: float) -> dict[int, BaseGeometry]:
    """Outlines of the zones that reach a box, by EPSG code; north and south are two zones."""
    strips = {}
    for code, boxes in _boxes().items():
        reached = [
            shapely.box(*box)
            for box in boxes
            if box[0] < east and box[2] > west and box[1] < north and box[3] > south
        ]
        if reached:
            strips[code] = shapely.union_all(reached)
    return strips


@cache
def _boxes() -> dict[int, list[tuple[float, float, float, float]]]:
    """West, south, east and north of the boxes that each zone is made of, by EPSG code."""
    boxes: dict[int, list[tuple[float, float, float, float]]] = {}
    bands = [_SOUTH, 0, *(latitude for band in _BORDERS for latitude in band)]
    for low, high in pairwise(bands):
        own = _BORDERS.get((low, high), (0,))
        usual = [lon for lon in range(-180, 181, 6) if not own[0] <= lon <= own[-1]]
        for left, right in pairwise(sorted([*usual, *own])):
            code = utm_zone((left + right) / 2, (low + high) / 2)
            boxes.setdefault(code, []).append((left, low, right, high))
    return boxes


def _size(polygon: shapely.MultiPolygon) -> float:
    """Of an area, in square degrees of the equator."""
    _, south, _, north = polygon.bounds
    return float(polygon.area * math.cos(math.radians((south + north) / 2)))


def _vectors(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 3) unit vectors."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def centre(polygon: shapely.MultiPolygon) -> tuple[float, float]:
    """Longitude and latitude of an area's middle, also where it crosses 180 degrees.

    Args:
        polygon: longitude, latitude, degrees.

    """
    places = np.array([part.centroid.coords[0] for part in polygon.geoms])
    weights = np.array([_size(shapely.MultiPolygon([part])) for part in polygon.geoms])
    x, y, z = weights @ _vectors(*places.T)
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def map_crs(polygon: shapely.MultiPolygon) -> str:
    """The CRS of an area's map: a UTM zone if one serves, else an equal-area one of its own.

    One zone is that zone; several that reach no further than 6 degrees from the middle's meridian
    are the middle's zone; anything wider is Lambert's azimuthal equal-area projection centred on
    whole degrees.

    Args:
        polygon: longitude, latitude, degrees.

    Returns:
        ``"EPSG:<code>"`` or a PROJ string.

    """
    zones = split(polygon)
    if len(zones) == 1:
        return f"EPSG:{zones[0][0]}"
    lon, lat = centre(polygon)
    code = utm_zone(lon, min(max(lat, _SOUTH), _NORTH))
    meridian = (code % 100 - 1) * 6 - 177
    lons = shapely.get_coordinates(polygon)[:, 0]
    if np.abs((lons - meridian + 180) % 360 - 180).max() <= NEAR:
        return f"EPSG:{code}"
    return f"+proj=laea +lat_0={round(lat)} +lon_0={round(lon)} +datum=WGS84 +units=m +no_defs"


def apart(polygon: shapely.MultiPolygon) -> list[shapely.MultiPolygon]:
    """The parts of an area that lie more than 500 km from each other, the largest first.

    A part has everything within 500 km of something else in it, border to border, also across
    180 degrees; together the parts are the area. Distances are chords of the WGS 84 ellipsoid, 0.13
    km shorter at 500 km than the way along it. What is taken for 500 km is 499.7 to 500.2, or down
    to 496 where both borders have several corners a kilometre, of which one is looked at.

    Args:
        polygon: longitude, latitude, degrees, cut at 180.

    """
    parts = np.array(polygon.geoms)
    fine = shapely.segmentize(parts, _LONGEST_EDGE)
    owners = _linked(*_border(fine), n=len(parts))
    groups, first = np.unique(owners, return_index=True)
    sizes = shapely.area(shapely.transform(fine, _unrolled))
    totals = np.bincount(owners, weights=sizes, minlength=len(parts))[groups]
    order = np.lexsort([first, -totals])
    return [shapely.MultiPolygon(parts[owners == groups[number]].tolist()) for number in order]


def _unrolled(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) longitude and latitude on a cylinder around the sphere, which keeps areas."""
    lon, lat = np.radians(degrees).T
    return np.column_stack([lon, np.sin(lat)])


def _border(parts: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Places on the borders of parts: (N, 3) metres from the Earth's centre, (N,) whose they are.

    Args:
        parts: (P,) polygons in degrees, with a corner wherever a place is wanted.

    """
    corners, owners = shapely.get_coordinates(parts, return_index=True)
    to_space = Transformer.from_crs(4979, 4978, always_xy=True)
    lon, lat = corners.T
    places = np.column_stack(to_space.transform(lon, lat, np.zeros_like(lon)))
    _, kept = np.unique(
        np.column_stack([owners, _cells(places, _FINE)]) @ (1, len(parts)), return_index=True
    )
    return places[kept], owners[kept]


def _cells(places: NDArray[np.float64], size: float) -> NDArray[np.int64]:
    """(N,) numbers of the cubes that places (N, 3) are in."""
    across = math.ceil(13e6 / size)
    return np.floor(places / size + across / 2).astype(np.int64) @ (1, across, across**2)


def _linked(places: NDArray[np.float64], owners: NDArray[np.int64], *, n: int) -> NDArray[np.int64]:
    """(n,) for each part, one part of those that it is linked to by steps of at most ``APART``.

    Places in one cell are linked, so that distances are looked at only between cells, and only
    until two of them are linked.

    Args:
        places: (N, 3) metres.
        owners: (N,) number of each one's part.
        n: parts.

    """
    leader = list(range(n))

    def led(part: int) -> int:
        while leader[part] != part:
            leader[part] = part = leader[leader[part]]
        return part

    cells = _cells(places, _CELL)
    order = np.argsort(cells, kind="stable")
    _, starts = np.unique(cells[order], return_index=True)
    groups = np.split(order, starts[1:])
    for group in groups:
        for part in np.unique(owners[group]).tolist():
            leader[led(part)] = led(int(owners[group[0]]))
    low, high = (np.array([f(places[g], axis=0) for g in groups]) for f in (np.min, np.max))
    middles, radii = (low + high) / 2, np.linalg.norm(high - low, axis=1) / 2
    for one, group in enumerate(groups):
        away = np.linalg.norm(middles[one + 1 :] - middles[one], axis=1)
        reach = APART + radii[one + 1 :] + radii[one]
        for other in (one + 1 + np.flatnonzero(away <= reach)).tolist():
            a, b = led(int(owners[group[0]])), led(int(owners[groups[other][0]]))
            if a != b and _near(places[group], places[groups[other]]):
                leader[b] = a
    return np.array([led(part) for part in range(n)])


def _near(some: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Whether any of some places is within ``APART`` of one of others; both (N, 3) metres.

    Both are halved until the boxes around them say it.
    """
    low, high = (
        np.array([f(places, axis=0) for places in (some, others)]) for f in (np.min, np.max)
    )
    if np.linalg.norm(high.max(axis=0) - low.min(axis=0)) <= APART:
        return True
    if np.linalg.norm(np.maximum(low.max(axis=0) - high.min(axis=0), 0)) > APART:
        return False
    if len(some) * len(others) <= _FEW:
        away = np.linalg.norm(some[:, None] - others, axis=-1)
        return bool(away.min() <= APART)
    if len(some) < len(others):
        some, others = others, some
    axis = np.ptp(some, axis=0).argmax()
    halves = np.array_split(some[np.argsort(some[:, axis])], 2)
    return any(_near(half, others) for half in halves)
