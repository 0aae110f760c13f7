"""Where scenes reach: their outlines over points and over pixels."""

import json
from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from lulcmap.catalog import Item, Scene, SearchResult
from lulcmap.geo import RESOLUTION_M

_WIDEST = 9.0
"""Degrees from its meridian that a zone is mapped: 6 around Svalbard, and a window's reach."""

_ALONG = np.linspace(0, 1, 5)
"""Places on each edge of a scene's box that are projected: parallels bend."""


class Footprints:
    """The outlines of all scenes found, by their number there."""

    def __init__(self, found: SearchResult) -> None:
        self.numbers = {(s.sensor, s.id): number for number, s in enumerate(found.scenes)}
        """Of the scenes, by sensor and id."""
        pairs = zip(found.items, found.scenes, strict=True)
        self._tree = shapely.STRtree([_outline(item, scene) for item, scene in pairs])

    def over(self, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of a point and a scene that shows it: (M,) numbers of points, (M,) of scenes.

        Args:
            points: (N, 2) longitude, latitude, degrees.

        """
        point, scene = self._tree.query(shapely.points(points), predicate="intersects")
        return point, scene


def _outline(item: Item, scene: Scene) -> shapely.Geometry:
    """An item's geometry, or its box where that cannot be used; degrees."""
    try:
        shape = shapely.from_geojson(json.dumps(item["geometry"]))
        west, _, east, _ = shape.bounds
        if shape.is_valid and east - west <= 180:
            return shape
    except (KeyError, ValueError, TypeError, AttributeError, shapely.errors.GEOSException):
        pass  # the box says enough
    west, south, east, north = scene.bbox
    if west <= east <= west + 180:
        return shapely.box(west, south, east, north)
    west, east = max(west, east), min(west, east)  # it crosses 180 degrees
    return shapely.union(
        shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
    )


def pixel_boxes(scenes: Sequence[Scene], zone: int) -> NDArray[np.float64]:
    """(N, 4) first row and column and those after the last, of the boxes of scenes.

    NaN where a box is further from the zone's meridian than any pixel of the zone can be.

    Args:
        scenes: their boxes are in degrees.
        zone: EPSG code of the zone whose pixels are counted.

    """
    bounds = np.array([scene.bbox for scene in scenes], float).reshape(-1, 4)
    west, south, east, north = bounds.T[..., None]
    east = east + 360 * (east < west)
    meridian = zone % 100 * 6 - 183
    away = np.abs(((west + east) / 2 - meridian + 180) % 360 - 180) - (east - west) / 2
    found = np.full((len(scenes), 4), np.nan)
    near = np.flatnonzero(away <= _WIDEST)
    west, south, east, north = (side[near] for side in (west, south, east, north))
    across, up = west + (east - west) * _ALONG, south + (north - south) * _ALONG
    lon = np.concatenate([across, across, west + 0 * up, east + 0 * up], axis=1)
    lat = np.concatenate([south + 0 * across, north + 0 * across, up, up], axis=1)
    to_zone = Transformer.from_crs(4326, zone, always_xy=True)
    x, y = to_zone.transform(lon, lat)
    rows, cols = -np.asarray(y) / RESOLUTION_M, np.asarray(x) / RESOLUTION_M
    found[near] = np.column_stack([rows.min(1), cols.min(1), rows.max(1), cols.max(1)])
    return found


def to_degrees(xs: NDArray[np.float64], ys: NDArray[np.float64], zone: int) -> NDArray[np.float64]:
    """(N, 2) longitude and latitude of points in metres of a zone."""
    transformer = Transformer.from_crs(zone, 4326, always_xy=True)
    return np.column_stack(transformer.transform(xs.ravel(), ys.ravel()))
