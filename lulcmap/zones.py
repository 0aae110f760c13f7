"""From an area to its UTM zones, and to the CRS of its map."""

import math
from itertools import pairwise

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.grid import utm_zone

NEAR = 6.0
"""Degrees from its central meridian that a zone's grid may be stretched for a whole map; the scale
there is off by 0.2 % on the equator."""

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
    parts = {
        code: _polygons(shapely.intersection(polygon, strip)) for code, strip in strips.items()
    }
    return sorted((code, part) for code, part in parts.items() if part.area > 0)


def _strips(west: float, south: float, east: float, north: float) -> dict[int, shapely.Geometry]:
    """Outlines of the zones that reach a box, by EPSG code; north and south are two zones."""
    pieces: dict[int, list[shapely.Polygon]] = {}
    bands = [_SOUTH, 0, *(latitude for band in _BORDERS for latitude in band)]
    for low, high in pairwise(bands):
        if low >= north or high <= south:
            continue
        own = _BORDERS.get((low, high), (0,))
        usual = [lon for lon in range(-180, 181, 6) if not own[0] <= lon <= own[-1]]
        for left, right in pairwise(sorted([*usual, *own])):
            if left < east and right > west:
                code = utm_zone((left + right) / 2, (low + high) / 2)
                pieces.setdefault(code, []).append(shapely.box(left, low, right, high))
    return {code: shapely.union_all(boxes) for code, boxes in pieces.items()}


def _polygons(shape: shapely.Geometry) -> shapely.MultiPolygon:
    parts = shapely.get_parts(shape)
    return shapely.MultiPolygon([part for part in parts if isinstance(part, shapely.Polygon)])


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
