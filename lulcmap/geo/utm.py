"""From an area to its UTM zones, to its parts far from each other, and to the CRS of a map."""

import math
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from lulcmap.errors import AreaError
from lulcmap.geo.grid import only_polygons

MAX_FROM_MERIDIAN_DEGREES = 6.0
"""Degrees from its central meridian that a zone's grid may be stretched for a whole map; the scale
there is off by 0.2 % on the equator."""


ZONE_BLEND_M = 640.0
"""Metres on either side of a border of zones in which both zones are mapped, and their classes
joined: 64 pixels, as the overlap of windows."""

_METRES_PER_DEGREE = 111_195.0
"""Metres of a degree of latitude."""

_SOUTH, _NORTH = -80, 84

_BORDERS = {(56, 64): (0, 3, 12), (72, 84): (0, 9, 21, 33, 42)}
"""Latitudes of Norway and of Svalbard, and the zones' borders there, from the first to the last
that is not every 6 degrees (MGRS)."""


@dataclass(frozen=True, slots=True)
class ZonePart:
    """The part of an area in one UTM zone."""

    epsg: int
    """EPSG code of the zone."""

    polygon: shapely.MultiPolygon
    """The part, in degrees or in the units of a CRS that its user names."""


def split_by_zone(polygon: shapely.MultiPolygon) -> list[ZonePart]:
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
        return [ZonePart(code, polygon) for code in strips]
    parts = [
        ZonePart(code, only_polygons(shapely.intersection(polygon, strip)))
        for code, strip in sorted(strips.items())
    ]
    return [part for part in parts if part.polygon.area > 0]


def beyond_zone(polygon: shapely.MultiPolygon, code: int) -> shapely.MultiPolygon:
    """What of an area lies outside a zone, and within ``ZONE_BLEND_M`` of it or a little more.

    Args:
        polygon: longitude, latitude, degrees.
        code: EPSG code of the zone.

    Returns:
        Longitude, latitude, degrees; maybe empty.

    """
    frames = []
    up = ZONE_BLEND_M / _METRES_PER_DEGREE
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
    return only_polygons(shapely.intersection(polygon, around))


def distance_to_zone(
    code: int, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
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
        np.minimum(metres, _METRES_PER_DEGREE * np.hypot(aside, np.maximum(up, 0)), out=metres)
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
    zones = split_by_zone(polygon)
    if len(zones) == 1:
        return f"EPSG:{zones[0].epsg}"
    lon, lat = centre(polygon)
    code = utm_zone(lon, min(max(lat, _SOUTH), _NORTH))
    meridian = (code % 100 - 1) * 6 - 177
    lons = shapely.get_coordinates(polygon)[:, 0]
    if np.abs((lons - meridian + 180) % 360 - 180).max() <= MAX_FROM_MERIDIAN_DEGREES:
        return f"EPSG:{code}"
    return f"+proj=laea +lat_0={round(lat)} +lon_0={round(lon)} +datum=WGS84 +units=m +no_defs"


def utm_zone(lon: float, lat: float) -> int:
    """EPSG code of the UTM zone of a point, with MGRS's exceptions for Norway and Svalbard.

    Args:
        lon: degrees east, -180 to 180.
        lat: degrees north, -80 to 84.

    Raises:
        AreaError: UTM does not reach there.

    Examples:
        >>> utm_zone(9.84, 57.2), utm_zone(5.3, 60.4), utm_zone(-70.0, -33.4)
        (32632, 32632, 32719)

    """
    if not -80 <= lat <= 84:
        raise AreaError(
            f"The area reaches latitude {lat:.2f}; lulcmap maps between 80 S and 84 N, where "
            "Sentinel-2 is in UTM. Cut the area there."
        )
    zone = min(int((lon + 180) // 6) + 1, 60)
    if 56 <= lat < 64 and 3 <= lon < 12:
        zone = 32
    elif lat >= 72 and 0 <= lon < 42:
        zone = 31 if lon < 9 else 33 if lon < 21 else 35 if lon < 33 else 37
    return (32600 if lat >= 0 else 32700) + zone
