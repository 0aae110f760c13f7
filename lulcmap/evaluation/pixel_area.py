"""Longitude, latitude and true area of a map's pixels."""

import numpy as np
from numpy.typing import NDArray

from lulcmap.evaluation.classmap import ClassMap
from lulcmap.geo import grid_areas, grid_lonlat


def pixel_lonlat(
    class_map: ClassMap, rows: NDArray[np.float64], cols: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Longitude and latitude, degrees, of fractional rows and columns from a map's corner."""
    return grid_lonlat(class_map.crs, class_map.transform, rows, cols)


def pixel_areas(class_map: ClassMap, box: tuple[int, int, int, int]) -> NDArray[np.float64]:
    """(H, W) true areas of the pixels of a window, as of ``grid_areas``.

    Args:
        class_map: the map.
        box: row, column, height and width of the window.

    """
    return grid_areas(class_map.crs, class_map.transform, box)
