"""UTM zones: of a point, of the parts of an area, and the CRS of an area's map."""

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
"""Degrees from its central meridian to which a zone's CRS is used for a whole map; the scale there
is off by 0.2 % on the equator."""

ZONE_BLEND_M = 640.0
"""Metres on either side of a zone border in which both zones are mapped and their classes joined:
64 pixels, half of the windows' overlap."""

_METRES_PER_DEGREE = 111_195.0
"""Length of a degree of latitude, metres."""

_SOUTH, _NORTH = -80, 84
"""Latitudes between which UTM is defined, degrees."""

_BORDERS = {(56, 64): (0, 3, 12), (72, 84): (0, 9, 21, 33, 42)}
"""By latitudes of Norway and of Svalbard, the longitudes of the zone borders there that are not
every 6 degrees (MGRS), from the first regular one to the last."""


@dataclass(frozen=True, slots=True)
class ZonePart:
    """The part of an area in one UTM zone."""

    epsg: int
    """EPSG code of the zone."""

    polygon: shapely.MultiPolygon
    """The part, in degrees or in units of a CRS that its user states."""


def split_by_zone(polygon: shapely.MultiPolygon) -> list[ZonePart]:
    """Split an area into its parts in each UTM zone, sorted by EPSG code.

    Args:
        polygon: area in longitude, latitude, degrees.

    Raises:
        AreaError: the area reaches beyond 80 S or 84 N.

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
    """The part of an area outside a zone and within ``ZONE_BLEND_M`` of it, or a little more.

    Args:
        polygon: area in longitude, latitude, degrees.
        code: EPSG code of the zone.

    Returns:
        The part in longitude, latitude, degrees; may be empty.

    """
    frames = []
    dy = ZONE_BLEND_M / _METRES_PER_DEGREE  # degrees of latitude
    _, area_south, _, area_north = polygon.bounds
    for west, zone_south, east, zone_north in _boxes()[code]:
        south, north = max(zone_south, area_south), min(zone_north, area_north)
        if south - dy > north + dy:
            continue
        dx = dy / math.cos(math.radians(max(abs(south), abs(north)) + dy))  # of longitude
        frame = shapely.box(west - dx, south - dy, east + dx, north + dy)
        frames += [frame, *(shapely.affinity.translate(frame, turn) for turn in (-360, 360))]
    zone = shapely.union_all([shapely.box(*box) for box in _boxes()[code]])
    around = shapely.difference(shapely.union_all(frames), zone)
    return only_polygons(shapely.intersection(polygon, around))


def distance_to_zone(
    code: int, lon: NDArray[np.float64], lat: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distances of points to a zone, exact to 1 % up to a few kilometres.

    Args:
        code: EPSG code of the zone.
        lon: (...) longitudes, degrees; may continue past 180.
        lat: (...) latitudes, degrees.

    Returns:
        (...) metres; 0 inside the zone.

    """
    metres = np.full(lon.shape, np.inf)
    low, high = (float(lat.min()) - 1, float(lat.max()) + 1) if lat.size else (0.0, 0.0)
    boxes = _boxes()[code]  # of which those a degree off in latitude are no use if one is not
    for west, south, east, north in [b for b in boxes if b[1] < high and b[3] > low] or boxes:
        dx = np.abs((lon - (west + east) / 2 + 180) % 360 - 180) - (east - west) / 2
        dy = np.abs(lat - (south + north) / 2) - (north - south) / 2
        dx = np.maximum(dx, 0) * np.cos(np.radians(lat))
        np.minimum(metres, _METRES_PER_DEGREE * np.hypot(dx, np.maximum(dy, 0)), out=metres)
    return metres


def _strips(west: float, south: float, east: float, north: float) -> dict[int, BaseGeometry]:
    """Outlines of the zones that meet a box, by EPSG code; north and south are separate zones."""
    strips = {}
    for code, boxes in _boxes().items():
        within = [
            shapely.box(*box)
            for box in boxes
            if box[0] < east and box[2] > west and box[1] < north and box[3] > south
        ]
        if within:
            strips[code] = shapely.union_all(within)
    return strips


@cache
def _boxes() -> dict[int, list[tuple[float, float, float, float]]]:
    """West, south, east and north of the boxes that make up each zone, by EPSG code."""
    boxes: dict[int, list[tuple[float, float, float, float]]] = {}
    bands = [_SOUTH, 0, *(latitude for band in _BORDERS for latitude in band)]
    for low, high in pairwise(bands):
        special = _BORDERS.get((low, high), (0,))
        regular = [lon for lon in range(-180, 181, 6) if not special[0] <= lon <= special[-1]]
        for left, right in pairwise(sorted([*regular, *special])):
            code = utm_zone((left + right) / 2, (low + high) / 2)
            boxes.setdefault(code, []).append((left, low, right, high))
    return boxes


def _square_degrees(polygon: shapely.MultiPolygon) -> float:
    """Size of an area, in square degrees at the equator."""
    _, south, _, north = polygon.bounds
    return float(polygon.area * math.cos(math.radians((south + north) / 2)))


def _unit_vectors(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3) unit vectors of points in degrees."""
    lon, lat = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def centre(polygon: shapely.MultiPolygon) -> tuple[float, float]:
    """Longitude and latitude of an area's centre, degrees, also where it crosses 180 degrees.

    Args:
        polygon: area in longitude, latitude, degrees.

    """
    centroids = np.array([part.centroid.coords[0] for part in polygon.geoms])
    weights = np.array([_square_degrees(shapely.MultiPolygon([part])) for part in polygon.geoms])
    x, y, z = weights @ _unit_vectors(*centroids.T)
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))


def map_crs(polygon: shapely.MultiPolygon) -> str:
    """The CRS of an area's map: a UTM zone if one fits, else an equal-area projection.

    An area in one zone gets that zone. An area in several zones, all of it within 6 degrees of the
    central meridian of its centre's zone, gets the centre's zone. Any wider area gets Lambert's
    azimuthal equal-area projection centred on whole degrees.

    Args:
        polygon: area in longitude, latitude, degrees.

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
    """EPSG code of a point's UTM zone, with the MGRS exceptions for Norway and Svalbard.

    Args:
        lon: longitude, degrees east, -180 to 180.
        lat: latitude, degrees north, -80 to 84.

    Raises:
        AreaError: the point is outside UTM.

    Examples:
        >>> utm_zone(9.84, 57.2), utm_zone(5.3, 60.4), utm_zone(-70.0, -33.4)
        (32632, 32632, 32719)

    """
    if not -80 <= lat <= 84:
        raise AreaError(
            f"The area reaches latitude {lat:.2f}; lulcmap maps between 80 S and 84 N, where "
            "Sentinel-2 is in UTM. Clip the area to that."
        )
    zone = min(int((lon + 180) // 6) + 1, 60)
    if 56 <= lat < 64 and 3 <= lon < 12:
        zone = 32
    elif lat >= 72 and 0 <= lon < 42:
        zone = 31 if lon < 9 else 33 if lon < 21 else 35 if lon < 33 else 37
    return (32600 if lat >= 0 else 32700) + zone
