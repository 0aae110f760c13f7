"""Where the pixels of a map are on the globe, and how large they truly are."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Geod

from lulcmap.evaluation.classmap import ClassMap, transformer
from lulcmap.evaluation.vectors import DEGREES

_KNOTS = 5
"""Places along each side of a window where the size of a pixel is known exactly."""


def measurable(crs: CRS) -> bool:
    """Whether the areas of pixels are known in a CRS."""
    return bool(crs.is_geographic or crs.is_projected)


def degrees(
    given: ClassMap, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude of places in a map, rows and columns counted from its corner."""
    t = given.transform
    xs, ys = t.a * cols + t.b * rows + t.c, t.d * cols + t.e * rows + t.f
    lon, lat = transformer(given.crs, DEGREES).transform(xs, ys)
    return np.asarray(lon), np.asarray(lat)


def areas(given: ClassMap, box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """(H, W) true areas of the pixels of a window, square metres of the WGS 84 ellipsoid.

    Exact in some places, with straight lines between; pixels change size slowly.
    """
    row, col, height, width = box
    rows, cols = np.linspace(0, height, _KNOTS), np.linspace(0, width, _KNOTS)
    knots = _pixel_areas(given, *np.meshgrid(rows + row, cols + col, indexing="ij"))
    down = _weights(rows, np.arange(height) + 0.5)
    across = _weights(cols, np.arange(width) + 0.5)
    found: NDArray[np.float64] = down @ knots @ across.T
    return found


def _pixel_areas(
    given: ClassMap, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Square metres of a pixel in the middle of some places: square degrees, and what these are.

    Not from PROJ's factors, which take Web Mercator for a projection of a sphere.
    """
    (west, west_lat), (east, east_lat) = (degrees(given, rows, cols + side) for side in (-0.5, 0.5))
    (top, top_lat), (foot, foot_lat) = (degrees(given, rows + side, cols) for side in (-0.5, 0.5))
    across, down = _turn(east - west), _turn(foot - top)
    square_degrees = np.abs(across * (foot_lat - top_lat) - down * (east_lat - west_lat))
    _, lat = degrees(given, rows, cols)
    found: NDArray[np.float64] = square_degrees * _square_degree(lat)
    return found


def _turn(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """A difference of longitudes, -180 to 180 degrees."""
    return (difference + 180) % 360 - 180


def _square_degree(lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Square metres of a square degree at some latitudes, from the ellipsoid's curvature."""
    geod = Geod(ellps="WGS84")
    w2 = 1 - geod.es * np.sin(np.radians(lat)) ** 2
    meridian, normal = geod.a * (1 - geod.es) / w2**1.5, geod.a / np.sqrt(w2)
    square: NDArray[np.float64] = meridian * normal * np.cos(np.radians(lat)) * math.radians(1) ** 2
    return square


def _weights(knots: NDArray[Any], at: NDArray[Any]) -> NDArray[np.float64]:
    """(len(at), len(knots)) weights that interpolate linearly between knots."""
    return np.column_stack([np.interp(at, knots, one) for one in np.eye(len(knots))])
