"""From the pixels of a grid in any CRS to UTM zones, pixels of a zone, and degrees."""

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
"""Most pixels between the knots, at which the transformation is evaluated."""

_NOWHERE = np.iinfo(np.int64).min
"""Row and column of a pixel whose centre has no coordinates in the zone."""

_CELL_DEGREES = 3, 4
"""Size of a cell, degrees of longitude and latitude; all points of a cell are in one zone."""

_Locate = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From rows and columns of a grid, each (...), to (2, ...) coordinates; NaN where none exist."""


@cache
def transformer(crs: str, to: str) -> Transformer:
    """A transformer between CRSs, x before y; cached, as making one is slow."""
    return Transformer.from_crs(crs, to, always_xy=True)


def zone_pixels(grid: GeoBox, to_zone: Transformer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The zone pixel that contains the centre of each pixel of a grid, exactly.

    The transformation is evaluated every 32 pixels and interpolated between; the error of that is
    measured in the middle of each cell, where it is largest. Pixels nearer to an edge than four
    times the error, about one in a hundred, are evaluated one by one.

    Args:
        grid: (H, W) grid, north-up.
        to_zone: transformer from the grid's CRS to the zone's, x before y.

    Returns:
        (H, W) row and column in the zone's pixels, from northing 0 and easting 0; the smallest
        integer where the centre has no coordinates in the zone.

    """
    rows, cols = _floors(grid, lambda *pixels: _zone_pixels(grid, to_zone, *pixels))
    return rows, cols


def pixel_zones(grid: GeoBox) -> NDArray[np.int64]:
    """EPSG code of the UTM zone that contains the centre of each pixel of a grid, exactly.

    Args:
        grid: (H, W) grid, north-up.

    Returns:
        (H, W) codes; 0 where there is no zone, as beyond 84 N.

    """
    to_degrees = transformer(str(grid.crs), "EPSG:4326")
    cells = _floors(grid, lambda *pixels: _cells(grid, to_degrees, *pixels))
    east, north = np.clip(cells[0], -61, 61), np.clip(cells[1], -21, 21)
    codes: NDArray[np.int64] = _zone_table()[east, north]
    return codes


def pixel_degrees(grid: GeoBox) -> NDArray[np.float64]:
    """Longitude and latitude of the pixel centres of a grid, to within a metre.

    The transformation is evaluated every 32 pixels and interpolated between.

    Args:
        grid: (H, W) grid, north-up.

    Returns:
        (2, H, W) degrees; longitudes continue past 180; NaN where there are none.

    """
    height, width = grid.shape
    knot_rows, knot_cols = _knots(height), _knots(width)
    knots = point_degrees(grid, *np.meshgrid(knot_rows, knot_cols, indexing="ij"))
    knots[0] = knots[0, 0, 0] + (knots[0] - knots[0, 0, 0] + 180) % 360 - 180
    down, across = _weights(knot_rows, height), _weights(knot_cols, width)
    return down @ knots @ across.T


def point_degrees(
    grid: GeoBox, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(2, ...) longitude and latitude of the centres of the given pixels of a grid, degrees."""
    to_degrees = transformer(str(grid.crs), "EPSG:4326")
    lon, lat = to_degrees.transform(*_centres(grid, rows, cols))
    return _finite(np.asarray(lon), np.asarray(lat))


def _weights(knots: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """(length, knots) weights that interpolate linearly between knots."""
    pixels = np.arange(length, dtype=np.float64)
    return np.column_stack([np.interp(pixels, knots, unit) for unit in np.eye(len(knots))])


@cache
def _zone_table() -> NDArray[np.int64]:
    """EPSG codes of the cells; indices from -60 and from -20, the negative ones from the end."""
    width, height = _CELL_DEGREES
    table = np.zeros((123, 43), np.int64)
    for east in range(-60, 61):
        for north in range(-20, 21):
            table[east, north] = utm_zone((east + 0.5) * width, (north + 0.5) * height)
    return table


def _floors(grid: GeoBox, locate: _Locate) -> NDArray[np.int64]:
    """(2, H, W) coordinates of a grid's pixels, rounded down; ``_NOWHERE`` if either is NaN."""
    height, width = grid.shape
    knot_rows, knot_cols = _knots(height), _knots(width)
    knots = locate(*np.meshgrid(knot_rows, knot_cols, indexing="ij"))
    middles = np.meshgrid(_between(knot_rows), _between(knot_cols), indexing="ij")
    error = np.abs(locate(*middles) - _between(_between(knots, axis=1), axis=2))
    if np.isfinite(knots).all() and np.isfinite(error).all():
        margin = 4 * error.max() + 1e-6
        low, high = knots.min(axis=(1, 2)) - margin, knots.max(axis=(1, 2)) + margin
        if (np.floor(low) == np.floor(high)).all():
            constant = np.floor(low).astype(np.int64)
            return np.broadcast_to(constant[:, None, None], (2, height, width))
        floors, unsure = np.empty((2, height, width), np.int64), np.zeros((height, width), bool)
        _interpolate(knots, knot_rows, knot_cols, margin, floors, unsure)
    else:
        floors, unsure = np.empty((2, height, width), np.int64), np.ones((height, width), bool)
    rows, cols = np.nonzero(unsure)
    coordinates = locate(rows.astype(float), cols.astype(float))
    finite = np.isfinite(coordinates).all(axis=0)
    exact = np.full(coordinates.shape, _NOWHERE)
    exact[:, finite] = np.floor(coordinates[:, finite]).astype(np.int64)
    floors[:, rows, cols] = exact
    return floors


@compiled
def _interpolate(
    knots: NDArray[np.float64],
    knot_rows: NDArray[np.float64],
    knot_cols: NDArray[np.float64],
    margin: float,
    floors: NDArray[np.int64],
    unsure: NDArray[np.bool_],
) -> None:
    """Interpolate coordinates between knots, round them down, and mark those near an integer.

    Args:
        knots: (2, R, C) coordinates of the knots.
        knot_rows: (R,) rows of the knots.
        knot_cols: (C,) columns of the knots.
        margin: distance to an integer that counts as near; at most a half.
        floors: (2, H, W) to fill with the coordinates, rounded down.
        unsure: (H, W) all False; set to True where a coordinate is near an integer.

    """
    line = np.empty(knot_cols.size)  # coordinates at the knot columns of one row
    for axis in range(2):
        above = 0
        for row in range(unsure.shape[0]):
            while above + 2 < knot_rows.size and row > knot_rows[above + 1]:
                above += 1
            down = (row - knot_rows[above]) / (knot_rows[above + 1] - knot_rows[above])
            for k in range(knot_cols.size):
                line[k] = knots[axis, above, k] * (1 - down) + knots[axis, above + 1, k] * down
            left = 0
            for col in range(unsure.shape[1]):
                while left + 2 < knot_cols.size and col > knot_cols[left + 1]:
                    left += 1
                across = (col - knot_cols[left]) / (knot_cols[left + 1] - knot_cols[left])
                value = line[left] * (1 - across) + line[left + 1] * across
                whole = math.floor(value)
                floors[axis, row, col] = int(whole)
                if value - whole < margin or whole + 1 - value < margin:
                    unsure[row, col] = True


def _knots(length: int) -> NDArray[np.float64]:
    """At least two pixels from 0 to the last, at most ``_KNOT_PX`` apart."""
    return np.linspace(0, max(length - 1, 1), max(-(-(length - 1) // _KNOT_PX), 1) + 1)


def _between(values: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
    """Means of neighbours along an axis."""
    moved = np.moveaxis(values, axis, 0)
    return np.moveaxis((moved[1:] + moved[:-1]) / 2, 0, axis)


def _zone_pixels(
    grid: GeoBox,
    to_zone: Transformer,
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(2, ...) fractional row and column in a zone of the centres of a grid's pixels."""
    easting, northing = to_zone.transform(*_centres(grid, rows, cols))
    return _finite(-np.asarray(northing) / RESOLUTION_M, np.asarray(easting) / RESOLUTION_M)


def _cells(
    grid: GeoBox,
    to_degrees: Transformer,
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(2, ...) longitude and latitude of the centres of a grid's pixels, in ``_CELL_DEGREES``."""
    lon, lat = to_degrees.transform(*_centres(grid, rows, cols))
    return _finite(np.asarray(lon) / _CELL_DEGREES[0], np.asarray(lat) / _CELL_DEGREES[1])


def _centres(
    grid: GeoBox, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates (...) of the centres of pixels, in the grid's CRS."""
    affine = grid.affine
    return affine.c + (cols + 0.5) * affine.a, affine.f + (rows + 0.5) * affine.e


def _finite(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    coordinates = np.stack([first, second])
    coordinates[~np.isfinite(coordinates)] = np.nan  # PROJ returns inf
    return coordinates
