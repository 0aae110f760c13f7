"""Footprints of scenes: the points they show, and the pixels they reach."""

from collections.abc import Sequence

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from lulcmap.catalog import Scene, SearchResult
from lulcmap.geo import RESOLUTION_M

_MAX_FROM_MERIDIAN_DEGREES = 9.0
"""Degrees from its central meridian up to which a zone is mapped: 6 around Svalbard, and a window's
reach."""

_EDGE_SHARES = np.linspace(0, 1, 5)
"""Positions on each edge of a scene's box that are projected, from 0 to 1; parallels are curved in
UTM."""


class Footprints:
    """The footprints of all scenes of a search, by scene number."""

    def __init__(self, scenes: SearchResult) -> None:
        self.numbers = {(scene.sensor, scene.id): n for n, scene in enumerate(scenes.scenes)}
        """Numbers of the scenes, by sensor and id: their positions in ``scenes.scenes``."""
        self._shapes = scenes.footprints
        self._tree = shapely.STRtree(self._shapes)

    def over(self, points: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Pairs of a point and a scene that shows it: (M,) point numbers, (M,) scene numbers.

        Args:
            points: (N, 2) longitude, latitude, degrees.

        """
        point, scene = self._tree.query(shapely.points(points), predicate="intersects")
        return point, scene

    def show(self, scenes: NDArray[np.int64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of some scenes show which points: (M, N).

        Args:
            scenes: (M,) scene numbers.
            points: (N, 2) longitude, latitude, degrees.

        """
        shown: NDArray[np.bool_] = shapely.intersects_xy(
            self._shapes[scenes][:, None], *points.T[:, None]
        )
        return shown


def pixel_boxes(scenes: Sequence[Scene], zone: int) -> NDArray[np.float64]:
    """Boxes of scenes in pixels of a zone: (N, 4) first row, first column, end row, end column.

    The end is one past the last. NaN where a box is further from the zone's meridian than any pixel
    of the zone can be.

    Args:
        scenes: scenes; their boxes are in degrees.
        zone: EPSG code of the zone whose pixels are counted.

    """
    bounds = np.array([scene.bbox for scene in scenes], float).reshape(-1, 4)
    west, south, east, north = bounds.T[..., None]
    east = east + 360 * (east < west)
    meridian = zone % 100 * 6 - 183
    away = np.abs(((west + east) / 2 - meridian + 180) % 360 - 180) - (east - west) / 2
    round_globe = east - west > 180  # the item does not say where the scene lies
    west = np.where(round_globe, meridian - _MAX_FROM_MERIDIAN_DEGREES, west)
    east = np.where(round_globe, meridian + _MAX_FROM_MERIDIAN_DEGREES, east)
    boxes = np.full((len(scenes), 4), np.nan)
    near = np.flatnonzero(away <= _MAX_FROM_MERIDIAN_DEGREES)
    west, south, east, north = (side[near] for side in (west, south, east, north))
    across, up = west + (east - west) * _EDGE_SHARES, south + (north - south) * _EDGE_SHARES
    lon = np.concatenate([across, across, west + 0 * up, east + 0 * up], axis=1)
    lat = np.concatenate([south + 0 * across, north + 0 * across, up, up], axis=1)
    to_zone = Transformer.from_crs(4326, zone, always_xy=True)
    x, y = to_zone.transform(lon, lat)
    rows, cols = -np.asarray(y) / RESOLUTION_M, np.asarray(x) / RESOLUTION_M
    boxes[near] = np.column_stack([rows.min(1), cols.min(1), rows.max(1), cols.max(1)])
    return boxes


def to_degrees(xs: NDArray[np.float64], ys: NDArray[np.float64], zone: int) -> NDArray[np.float64]:
    """(N, 2) longitude and latitude of points in metres of a zone.

    Args:
        xs: eastings, metres.
        ys: northings, metres, of the same shape.
        zone: EPSG code of the zone.

    """
    transformer = Transformer.from_crs(zone, 4326, always_xy=True)
    return np.column_stack(transformer.transform(xs.ravel(), ys.ravel()))
