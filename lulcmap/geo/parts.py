"""Parts of an area that lie far from each other."""

import math

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray
from pyproj import Transformer

APART_M = 500_000.0
"""Metres; parts of an area that are further from all others are maps of their own."""


_CELL_M = 250_000.0
"""Metres a side of a cube; places in one are nearer to each other than ``APART_M``."""


_FINE_CELL_M = 1000.0
"""Metres a side of a cube, of which one corner of a part's border is kept."""


_MAX_PAIRS = 10_000
"""Pairs of places, whose distances are quicker taken than sorted out."""


_MAX_EDGE_DEGREES = 0.1
"""Degrees; between places so near on two borders 500 km apart, the distance is off by 0.1 km."""


def distant_parts(polygon: shapely.MultiPolygon) -> list[shapely.MultiPolygon]:
    """The parts of an area that lie more than 500 km from each other, the largest first.

    A part has everything within 500 km of something else in it, border to border, also across
    180 degrees; together the parts are the area. Distances are chords of the WGS 84 ellipsoid, 0.13
    km shorter at 500 km than the way along it. What is taken for 500 km is 499.7 to 500.2, or down
    to 496 where both borders have several corners a kilometre, of which one is looked at.

    Args:
        polygon: longitude, latitude, degrees, cut at 180.

    """
    parts = np.array(polygon.geoms)
    if len(parts) == 1:
        return [polygon]
    fine = shapely.segmentize(parts, _MAX_EDGE_DEGREES)
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
        np.column_stack([owners, _cells(places, _FINE_CELL_M)]) @ (1, len(parts)), return_index=True
    )
    return places[kept], owners[kept]


def _cells(places: NDArray[np.float64], size: float) -> NDArray[np.int64]:
    """(N,) numbers of the cubes that places (N, 3) are in."""
    across = math.ceil(13e6 / size)
    return np.floor(places / size + across / 2).astype(np.int64) @ (1, across, across**2)


def _linked(places: NDArray[np.float64], owners: NDArray[np.int64], *, n: int) -> NDArray[np.int64]:
    """(n,) for each part, one part of those that it is linked to by steps of at most ``APART_M``.

    Places in one cell are linked, so that distances are looked at only between cells, and only
    until two of them are linked.

    Args:
        places: (N, 3) metres.
        owners: (N,) number of each one's part.
        n: parts.

    """
    from scipy.cluster.hierarchy import DisjointSet  # a tenth of a second, for archipelagos only

    linked = DisjointSet(range(n))
    cells = _cells(places, _CELL_M)
    order = np.argsort(cells, kind="stable")
    _, starts = np.unique(cells[order], return_index=True)
    groups = np.split(order, starts[1:])
    for group in groups:
        for part in np.unique(owners[group]).tolist():
            linked.merge(part, int(owners[group[0]]))
    low, high = (np.array([f(places[g], axis=0) for g in groups]) for f in (np.min, np.max))
    middles, radii = (low + high) / 2, np.linalg.norm(high - low, axis=1) / 2
    for one, group in enumerate(groups):
        away = np.linalg.norm(middles[one + 1 :] - middles[one], axis=1)
        reach = APART_M + radii[one + 1 :] + radii[one]
        for other in (one + 1 + np.flatnonzero(away <= reach)).tolist():
            a, b = int(owners[group[0]]), int(owners[groups[other][0]])
            if not linked.connected(a, b) and _near(places[group], places[groups[other]]):
                linked.merge(a, b)
    return np.array([linked[part] for part in range(n)])


def _near(some: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Whether any of some places is within ``APART_M`` of one of others; both (N, 3) metres.

    Both are halved until the boxes around them say it.
    """
    low, high = (
        np.array([f(places, axis=0) for places in (some, others)]) for f in (np.min, np.max)
    )
    if np.linalg.norm(high.max(axis=0) - low.min(axis=0)) <= APART_M:
        return True
    if np.linalg.norm(np.maximum(low.max(axis=0) - high.min(axis=0), 0)) > APART_M:
        return False
    if len(some) * len(others) <= _MAX_PAIRS:
        away = np.linalg.norm(some[:, None] - others, axis=-1)
        return bool(away.min() <= APART_M)
    if len(some) < len(others):
        some, others = others, some
    axis = np.ptp(some, axis=0).argmax()
    halves = np.array_split(some[np.argsort(some[:, axis])], 2)
    return any(_near(half, others) for half in halves)
