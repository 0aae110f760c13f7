"""The UTM zones, and the pixels there, that a grid's pixels have their centres in, in any CRS."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lulcmap.geo.grid import RESOLUTION_M
from lulcmap.geo.utm import utm_zone
from lulcmap.system import compiled

_KNOT_PX = 32
"""Pixels between the places where the transformation is evaluated."""

_NOWHERE = np.iinfo(np.int64).min
"""Row and column of a pixel whose centre has no place in the zone."""

_CELL = 3, 4
"""Degrees of longitude and latitude of the cells in each of which all points are in one zone."""

_Places = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From rows and columns of a grid, of any shape (...), to (2, ...) coordinates; NaN is nowhere."""


@cache
def transformer(crs: str, to: str) -> Transformer:
    """From one CRS to another, x before y; the same one for the same CRS, for each takes long."""
    return Transformer.from_crs(crs, to, always_xy=True)


def zone_pixels(grid: GeoBox, to_zone: Transformer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixel of a zone that each pixel of a grid has its centre in, exactly.

    The transformation is evaluated every 32 pixels and interpolated between; how far that is off is
    measured in the middle of each cell, where it is worst. The pixels that lie nearer to an edge
    than four times that, about one in a hundred, are evaluated one by one.

    Args:
        grid: (H, W), north-up.
        to_zone: from the grid's CRS to the zone's, x before y.

    Returns:
        (H, W) row and column in the zone's pixels, from northing 0 and easting 0; the smallest
        integer where the centre has no place in the zone.

    """
    rows, cols = _floors(grid, lambda *at: _pixels(grid, to_zone, *at))
    return rows, cols


def pixel_zones(grid: GeoBox) -> NDArray[np.int64]:
    """EPSG code of the UTM zone that each pixel of a grid has its centre in, exactly.

    Args:
        grid: (H, W), north-up.

    Returns:
        (H, W) codes; 0 where there is none, as beyond 84 N.

    """
    to_degrees = transformer(str(grid.crs), "EPSG:4326")
    cells = _floors(grid, lambda *at: _degrees(grid, to_degrees, *at))
    east, north = np.clip(cells[0], -61, 61), np.clip(cells[1], -21, 21)
    codes: NDArray[np.int64] = _zone_table()[east, north]
    return codes


def pixel_degrees(grid: GeoBox) -> NDArray[np.float64]:
    """Longitude and latitude of the pixels of a grid, to within a metre.

    The transformation is evaluated every 32 pixels and interpolated between.

    Args:
        grid: (H, W), north-up.

    Returns:
        (2, H, W) degrees; longitudes run on past 180; NaN where there is no such place.

    """
    height, width = grid.shape
    at_rows, at_cols = _knots(height), _knots(width)
    knots = point_degrees(grid, *np.meshgrid(at_rows, at_cols, indexing="ij"))
    knots[0] = knots[0, 0, 0] + (knots[0] - knots[0, 0, 0] + 180) % 360 - 180
    down, across = _weights(at_rows, height), _weights(at_cols, width)
    return down @ knots @ across.T


def point_degrees(
    grid: GeoBox, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(2, ...) longitude and latitude of the centres of some pixels of a grid, degrees."""
    to_degrees = transformer(str(grid.crs), "EPSG:4326")
    lon, lat = to_degrees.transform(*_centres(grid, rows, cols))
    return _finite(np.asarray(lon), np.asarray(lat))


def _weights(knots: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """(length, knots) weights that interpolate linearly between knots."""
    at = np.arange(length, dtype=np.float64)
    return np.column_stack([np.interp(at, knots, one) for one in np.eye(len(knots))])


@cache
def _zone_table() -> NDArray[np.int64]:
    """Zones of the cells; indices from -60 and from -20, which count from the end."""
    width, height = _CELL
    table = np.zeros((123, 43), np.int64)
    for east in range(-60, 61):
        for north in range(-20, 21):
            table[east, north] = utm_zone((east + 0.5) * width, (north + 0.5) * height)
    return table


def _floors(grid: GeoBox, point_degrees: _Places) -> NDArray[np.int64]:
    """(2, H, W) coordinates of the pixels of a grid, rounded down; ``_NOWHERE`` if one is NaN."""
    height, width = grid.shape
    at_rows, at_cols = _knots(height), _knots(width)
    knots = point_degrees(*np.meshgrid(at_rows, at_cols, indexing="ij"))
    middles = np.meshgrid(_between(at_rows), _between(at_cols), indexing="ij")
    off = np.abs(point_degrees(*middles) - _between(_between(knots, axis=1), axis=2))
    if np.isfinite(knots).all() and np.isfinite(off).all():
        margin = 4 * off.max() + 1e-6
        low, high = knots.min(axis=(1, 2)) - margin, knots.max(axis=(1, 2)) + margin
        if (np.floor(low) == np.floor(high)).all():
            one = np.floor(low).astype(np.int64)
            return np.broadcast_to(one[:, None, None], (2, height, width))
        floors, unsure = np.empty((2, height, width), np.int64), np.zeros((height, width), bool)
        _interpolate(knots, at_rows, at_cols, margin, floors, unsure)
    else:
        floors, unsure = np.empty((2, height, width), np.int64), np.ones((height, width), bool)
    rows, cols = np.nonzero(unsure)
    place = point_degrees(rows.astype(float), cols.astype(float))
    known = np.isfinite(place).all(axis=0)
    exact = np.full(place.shape, _NOWHERE)
    exact[:, known] = np.floor(place[:, known]).astype(np.int64)
    floors[:, rows, cols] = exact
    return floors


@compiled
def _interpolate(
    knots: NDArray[np.float64],
    at_rows: NDArray[np.float64],
    at_cols: NDArray[np.float64],
    margin: float,
    floors: NDArray[np.int64],
    unsure: NDArray[np.bool_],
) -> None:
    """Fill ``floors`` with coordinates linear between the knots, and mark those near an integer.

    Args:
        knots: (2, rows, columns) coordinates.
        at_rows: (rows,) of the knots.
        at_cols: (columns,) of the knots.
        margin: how near; at most a half.
        floors: (2, H, W) to fill, rounded down.
        unsure: (H, W) False; becomes True where a coordinate is near.

    """
    along = np.empty(at_cols.size)
    for axis in range(2):
        above = 0
        for row in range(unsure.shape[0]):
            while above + 2 < at_rows.size and row > at_rows[above + 1]:
                above += 1
            down = (row - at_rows[above]) / (at_rows[above + 1] - at_rows[above])
            for k in range(at_cols.size):
                along[k] = knots[axis, above, k] * (1 - down) + knots[axis, above + 1, k] * down
            left = 0
            for col in range(unsure.shape[1]):
                while left + 2 < at_cols.size and col > at_cols[left + 1]:
                    left += 1
                across = (col - at_cols[left]) / (at_cols[left + 1] - at_cols[left])
                value = along[left] * (1 - across) + along[left + 1] * across
                whole = math.floor(value)
                floors[axis, row, col] = int(whole)
                if value - whole < margin or whole + 1 - value < margin:
                    unsure[row, col] = True


def _knots(length: int) -> NDArray[np.float64]:
    """Pixels from 0 to the last, no more than ``_KNOT_PX`` apart, at least two."""
    return np.linspace(0, max(length - 1, 1), max(-(-(length - 1) // _KNOT_PX), 1) + 1)


def _between(values: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
    """The means of neighbours along an axis."""
    moved = np.moveaxis(values, axis, 0)
    return np.moveaxis((moved[1:] + moved[:-1]) / 2, 0, axis)


def _pixels(
    grid: GeoBox,
    to_zone: Transformer,
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(2, ...) fractional row and column in the zone of the centres of pixels of a grid."""
    easting, northing = to_zone.transform(*_centres(grid, rows, cols))
    return _finite(-np.asarray(northing) / RESOLUTION_M, np.asarray(easting) / RESOLUTION_M)


def _degrees(
    grid: GeoBox,
    to_degrees: Transformer,
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(2, ...) longitude and latitude, in ``_CELL``, of the centres of pixels of a grid."""
    lon, lat = to_degrees.transform(*_centres(grid, rows, cols))
    return _finite(np.asarray(lon) / _CELL[0], np.asarray(lat) / _CELL[1])


def _centres(
    grid: GeoBox, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the centres of pixels."""
    affine = grid.affine
    return affine.c + (cols + 0.5) * affine.a, affine.f + (rows + 0.5) * affine.e


def _finite(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    place = np.stack([first, second])
    place[~np.isfinite(place)] = np.nan  # PROJ says inf
    return place
