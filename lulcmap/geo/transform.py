"""From the pixels of a grid in any CRS to UTM zones, pixels of a zone, and degrees."""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lulcmap.geo.grid import RESOLUTION_M
from lulcmap.geo.surface import Source, floors, gather
from lulcmap.geo.tiling import Box
from lulcmap.geo.utm import utm_zone

_KNOT_PX = 32
"""Most pixels between the knots at which degrees are evaluated."""

_CELL_DEGREES = 3, 4
"""Size of a cell, degrees of longitude and latitude; all points of a cell are in one zone."""

_FIRST_CELL = -61, -21
"""Cell of the first number in the table of zones; no place on Earth is before it."""


@cache
def transformer(crs: str, to: str) -> Transformer:
    """A transformer between CRSs, x before y; cached, as making one is slow."""
    return Transformer.from_crs(crs, to, always_xy=True)


def zone_pixels(grid: GeoBox, to_zone: Transformer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The zone pixel that contains the centre of each pixel of a grid, exactly.

    Args:
        grid: (H, W) grid, north-up.
        to_zone: transformer from the grid's CRS to the zone's, x before y.

    Returns:
        (H, W) row and column in the zone's pixels, from northing 0 and easting 0; the smallest
        integer where the centre has no coordinates in the zone.

    """
    rows, cols = floors(tuple(grid.shape), lambda *pixels: _zone_pixels(grid, to_zone, *pixels))
    return rows, cols


def fill_from_zone(
    grid: GeoBox,
    to_zone: Transformer,
    mask: NDArray[np.bool_],
    source: Source,
    out: NDArray[Any],
) -> None:
    """Fill pixels of a grid with the values of the zone's pixels that contain their centres.

    Args:
        grid: (H, W) grid, north-up.
        to_zone: transformer from the grid's CRS to the zone's, x before y.
        mask: (H, W) which pixels to fill.
        source: values of the zone's pixels, by ``zone_pixels``' rows and columns.
        out: (B, H, W) array to fill; stays as it is where the source has no pixel.

    """
    gather(lambda *pixels: _zone_pixels(grid, to_zone, *pixels), mask, source, out)


def pixel_zones(grid: GeoBox) -> NDArray[np.int64]:
    """EPSG code of the UTM zone that contains the centre of each pixel of a grid, exactly.

    Args:
        grid: (H, W) grid, north-up.

    Returns:
        (H, W) codes; 0 where there is no zone, as beyond 84 N.

    """
    to_degrees = transformer(str(grid.crs), "EPSG:4326")
    numbers = np.zeros((1, *grid.shape), np.uint8)
    gather(
        lambda *pixels: _cells(grid, to_degrees, *pixels),
        np.ones(grid.shape, bool),
        _ZoneCells(),
        numbers,
    )
    codes: NDArray[np.int64] = _zone_table()[1][numbers[0]]
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
def _zone_table() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A number for the zone of each cell, 0 where there is none, and the EPSG codes by number."""
    width, height = _CELL_DEGREES
    cells = np.zeros((1, 123, 43), np.int64)
    for east in range(-60, 61):
        for north in range(-20, 21):
            place = east - _FIRST_CELL[0], north - _FIRST_CELL[1]
            cells[0, *place] = utm_zone((east + 0.5) * width, (north + 0.5) * height)
    codes, numbers = np.unique(cells, return_inverse=True)
    return numbers.reshape(cells.shape).astype(np.uint8), codes


class _ZoneCells:
    """The table of zones, as a raster of cells."""

    extent = Box(*_FIRST_CELL, 123, 43)

    def read(self, box: Box) -> NDArray[np.uint8]:
        """The numbers of the zones in a box of cells."""
        return _zone_table()[0][:, *box.within(self.extent)]


def _knots(length: int) -> NDArray[np.float64]:
    """At least two pixels from 0 to the last, at most ``_KNOT_PX`` apart."""
    return np.linspace(0, max(length - 1, 1), max(-(-(length - 1) // _KNOT_PX), 1) + 1)


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
