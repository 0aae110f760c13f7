"""The region of a place: a cell of 30 degrees, or one of the user's polygons."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation.vectors import load_features
from lulcmap.geo import to_degrees

NO_REGION = "none"
"""Region of places outside all polygons."""

_CELL_DEG = 30
"""Side of a cell, degrees."""


@dataclass(frozen=True)
class Regions:
    """Named polygons; without any, the cells of the globe."""

    shapes: NDArray[np.object_] | None = None
    """(n,) polygons, longitude, latitude, degrees."""

    names: tuple[str, ...] = ()
    """Names of the polygons."""

    def of(self, lon: float, lat: float) -> str:
        """Name of the region of a place; the first one if several polygons hold it."""
        if self.shapes is None:
            return cell_name(lon, lat)
        hit = shapely.intersects_xy(self.shapes, lon, lat)
        hit |= shapely.intersects_xy(self.shapes, lon + 360, lat)  # polygons from 0 to 360
        inside = np.flatnonzero(hit)
        return self.names[inside[0]] if inside.size else NO_REGION


def cell_name(lon: float, lat: float) -> str:
    """Name of the cell of 30 degrees that holds a place.

    Args:
        lon: longitude, degrees east.
        lat: latitude, degrees north.

    Examples:
        >>> cell_name(9.8, 57.2), cell_name(-70.7, -33.4)
        ('N30-60 E0-30', 'S30-60 W60-90')

    """
    return f"{_side(lat, 90, 'SN')} {_side((lon + 180) % 360 - 180, 180, 'WE')}"


def _side(degrees: float, limit: int, names: str) -> str:
    low = min(max(math.floor(degrees / _CELL_DEG) * _CELL_DEG, -limit), limit - _CELL_DEG)
    ends = (low, low + _CELL_DEG) if low >= 0 else (-low - _CELL_DEG, -low)
    return f"{names[low >= 0]}{ends[0]}-{ends[1]}"


def load_regions(path: Path, *, column: str) -> Regions:
    """Load the regions in a vector file.

    Args:
        path: path of a GeoPackage, GeoJSON or Shapefile with polygons, in any CRS.
        column: column that holds their names.

    Raises:
        UsageError: the file cannot be read, or has no such column.

    """
    features = load_features(path)
    names = tuple(str(name) for name in features.column(column))
    kinds = set(shapely.get_type_id(features.shapes).tolist())
    if not kinds <= {int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON)}:
        raise UsageError(f"{path} has shapes other than polygons; regions are polygons.")
    shapes = to_degrees(features.shapes, features.crs, str(path))
    return Regions(shapes, names)
