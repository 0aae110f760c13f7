"""Longitude, latitude and true area of the pixels of a grid."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Geod, Transformer

_WGS84 = CRS.from_epsg(4326)

_MIN_KNOTS = 5
"""Least points along each side of a window where the area of a pixel is computed exactly."""

_KNOT_M, _KNOT_DEG = 25_000.0, 0.25
"""Largest distance of these points; a pixel between them is then 0.001 % off at most."""


def has_known_areas(crs: CRS) -> bool:
    """Whether the areas of pixels are known in a CRS."""
    return bool(crs.is_geographic or crs.is_projected)


def grid_lonlat(
    crs: CRS, transform: Affine, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude, degrees, of fractional rows and columns from a grid's corner.

    Args:
        crs: CRS of the grid.
        transform: from (column, row) to (x, y) of the CRS.
        rows: rows, of any shape.
        cols: columns, of the same shape.

    """
    t = transform
    xs, ys = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    lon, lat = _to_degrees(crs).transform(xs, ys)
    return np.asarray(lon), np.asarray(lat)


@lru_cache
def _to_degrees(crs: CRS) -> Transformer:
    return Transformer.from_crs(crs, _WGS84, always_xy=True)


def grid_areas(crs: CRS, transform: Affine, box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """(H, W) true areas of the pixels of a window, square metres on the WGS 84 ellipsoid.

    Exact at some points and interpolated linearly between them: pixels change size slowly.

    Args:
        crs: CRS of the grid, projected or geographic.
        transform: from (column, row) to (x, y) of the CRS.
        box: row, column, height and width of the window.

    """
    row, col, height, width = box
    t = transform
    rows = np.linspace(0, height, _n_knots(crs, height, math.hypot(t.b, t.e)))
    cols = np.linspace(0, width, _n_knots(crs, width, math.hypot(t.a, t.d)))
    knots = _exact_areas(crs, t, *np.meshgrid(rows + row, cols + col, indexing="ij"))
    down = _weights(rows, np.arange(height) + 0.5)
    across = _weights(cols, np.arange(width) + 0.5)
    areas: NDArray[np.float64] = down @ knots @ across.T
    return areas


def _n_knots(crs: CRS, pixels: int, side: float) -> int:
    """Number of knots along a side of a window.

    Args:
        crs: CRS of the map.
        pixels: pixels along the side.
        side: side of a pixel, in units of the CRS.

    """
    unit = crs.axis_info[0].unit_conversion_factor or 1.0  # metres, or radians
    length = side * pixels * unit
    steps = math.degrees(length) / _KNOT_DEG if crs.is_geographic else length / _KNOT_M
    return max(_MIN_KNOTS, min(math.ceil(steps), pixels) + 1)


def _exact_areas(
    crs: CRS, transform: Affine, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Square metres of pixels centred on some points, by way of their square degrees.

    PROJ's scale factors are not used: they treat Web Mercator as a projection of a sphere.
    """
    (west, west_lat), (east, east_lat) = (
        grid_lonlat(crs, transform, rows, cols + side) for side in (-0.5, 0.5)
    )
    (top, top_lat), (foot, foot_lat) = (
        grid_lonlat(crs, transform, rows + side, cols) for side in (-0.5, 0.5)
    )
    across, down = _wrap_degrees(east - west), _wrap_degrees(foot - top)
    square_degrees = np.abs(across * (foot_lat - top_lat) - down * (east_lat - west_lat))
    _, lat = grid_lonlat(crs, transform, rows, cols)
    areas: NDArray[np.float64] = square_degrees * _square_degree_m2(lat)
    return areas


def _wrap_degrees(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """A difference of longitudes, wrapped to -180 to 180 degrees."""
    return (difference + 180) % 360 - 180


def _square_degree_m2(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square metres of a square degree at some latitudes, from the ellipsoid's curvature."""
    geod = Geod(ellps="WGS84")
    w2 = 1 - geod.es * np.sin(np.radians(lat)) ** 2
    meridian, normal = geod.a * (1 - geod.es) / w2**1.5, geod.a / np.sqrt(w2)
    square: NDArray[np.float64] = meridian * normal * np.cos(np.radians(lat)) * math.radians(1) ** 2
    return square


def _weights(knots: NDArray[Any], at: NDArray[Any]) -> NDArray[np.float64]:
    """(len(at), len(knots)) weights of a linear interpolation between knots."""
    return np.column_stack([np.interp(at, knots, one) for one in np.eye(len(knots))])
