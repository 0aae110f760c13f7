"""Parts of an area that lie far apart, which become maps of their own."""

import math

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

APART_M = 500_000.0
"""Metres; parts of an area further than this from all others become maps of their own."""

_CELL_M = 250_000.0
"""Side of a cubic cell, metres; all points in one are nearer to each other than ``APART_M``."""

_FINE_CELL_M = 1000.0
"""Side of a small cell, metres; of each part's border one corner per cell is kept."""

_MAX_PAIRS = 10_000
"""Pairs of points up to which all distances are computed at once; more are halved first."""

_MAX_EDGE_DEGREES = 0.1
"""Longest edge of a border, degrees; so dense, points on borders 500 km apart give the distance to
0.1 km."""


def distant_parts(polygon: shapely.MultiPolygon) -> list[shapely.MultiPolygon]:
    """Split an area into the parts that lie more than 500 km from each other, the largest first.

    Polygons within 500 km of each other, border to border and also across 180 degrees, are in one
    part; together the parts are the area. Distances are chords of the WGS 84 ellipsoid, at 500 km
    0.13 km shorter than the geodesic. The limit so measured is 499.7 to 500.2 km, or down to 496
    where both borders have several corners per kilometre, of which one is used.

    Args:
        polygon: area in longitude, latitude, degrees, cut at 180.

    """
    parts = np.array(polygon.geoms)
    if len(parts) == 1:
        return [polygon]
    fine = shapely.segmentize(parts, _MAX_EDGE_DEGREES)
    owners = _linked(*_border_points(fine), n=len(parts))
    groups, first = np.unique(owners, return_index=True)
    sizes = shapely.area(shapely.transform(fine, _equal_area))
    totals = np.bincount(owners, weights=sizes, minlength=len(parts))[groups]
    order = np.lexsort([first, -totals])
    return [shapely.MultiPolygon(parts[owners == groups[number]].tolist()) for number in order]


def _equal_area(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 2) longitude and latitude in Lambert's cylindrical equal-area projection."""
    lon, lat = np.radians(degrees).T
    return np.column_stack([lon, np.sin(lat)])


def _border_points(parts: NDArray[np.object_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points on the borders of parts: (N, 3) metres from the Earth's centre, (N,) part numbers.

    Args:
        parts: (P,) polygons in degrees, with a corner wherever a point is needed.

    """
    corners, owners = shapely.get_coordinates(parts, return_index=True)
    to_space = Transformer.from_crs(4979, 4978, always_xy=True)
    lon, lat = corners.T
    points = np.column_stack(to_space.transform(lon, lat, np.zeros_like(lon)))
    _, kept = np.unique(
        np.column_stack([owners, _cells(points, _FINE_CELL_M)]) @ (1, len(parts)), return_index=True
    )
    return points[kept], owners[kept]


def _cells(points: NDArray[np.float64], size: float) -> NDArray[np.int64]:
    """(N,) numbers of the cubic cells, ``size`` metres a side, that points (N, 3) are in."""
    across = math.ceil(13e6 / size)
    return np.floor(points / size + across / 2).astype(np.int64) @ (1, across, across**2)


def _linked(points: NDArray[np.float64], owners: NDArray[np.int64], *, n: int) -> NDArray[np.int64]:
    """(n,) for each part, the number that stands for all parts linked by steps up to ``APART_M``.

    Points in one cell are linked, so that distances are computed only between cells, and only until
    two of them are linked.

    Args:
        points: (N, 3) points on borders, metres.
        owners: (N,) number of each point's part.
        n: number of parts.

    """
    from scipy.cluster.hierarchy import DisjointSet  # takes 0.1 s; only archipelagos need it

    linked = DisjointSet(range(n))
    cells = _cells(points, _CELL_M)
    order = np.argsort(cells, kind="stable")
    _, starts = np.unique(cells[order], return_index=True)
    groups = np.split(order, starts[1:])
    for group in groups:
        for part in np.unique(owners[group]).tolist():
            linked.merge(part, int(owners[group[0]]))
    low, high = (np.array([f(points[g], axis=0) for g in groups]) for f in (np.min, np.max))
    middles, radii = (low + high) / 2, np.linalg.norm(high - low, axis=1) / 2
    for one, group in enumerate(groups):
        distances = np.linalg.norm(middles[one + 1 :] - middles[one], axis=1)
        reach = APART_M + radii[one + 1 :] + radii[one]
        for other in (one + 1 + np.flatnonzero(distances <= reach)).tolist():
            a, b = int(owners[group[0]]), int(owners[groups[other][0]])
            if not linked.connected(a, b) and _near(points[group], points[groups[other]]):
                linked.merge(a, b)
    return np.array([linked[part] for part in range(n)])


def _near(some: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Whether any of some points is within ``APART_M`` of any of others; both (N, 3) metres.

    Both are halved until the boxes around them decide it, or the pairs are few.
    """
    low, high = (
        np.array([f(points, axis=0) for points in (some, others)]) for f in (np.min, np.max)
    )
    if np.linalg.norm(high.max(axis=0) - low.min(axis=0)) <= APART_M:
        return True
    if np.linalg.norm(np.maximum(low.max(axis=0) - high.min(axis=0), 0)) > APART_M:
        return False
    if len(some) * len(others) <= _MAX_PAIRS:
        distances = np.linalg.norm(some[:, None] - others, axis=-1)
        return bool(distances.min() <= APART_M)
    if len(some) < len(others):
        some, others = others, some
    axis = np.ptp(some, axis=0).argmax()
    halves = np.array_split(some[np.argsort(some[:, axis])], 2)
    return any(_near(half, others) for half in halves)
