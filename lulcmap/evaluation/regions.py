"""The region a place is in: a cell of 30 degrees, or a polygon of the user's."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation.classmap import transformer
from lulcmap.evaluation.vectors import DEGREES, load_features

NOWHERE = "none"
"""Of places in no polygon."""

_CELL = 30
"""Degrees."""


@dataclass(frozen=True)
class Regions:
    """Polygons with a name, or, without any, the cells of the globe."""

    shapes: NDArray[np.object_] | None = None
    """(n,) longitude, latitude, degrees."""

    names: tuple[str, ...] = ()
    """Of the polygons."""

    def of(self, lon: float, lat: float) -> str:
        """The region a place is in; the first of several polygons."""
        if self.shapes is None:
            return cell(lon, lat)
        inside = np.flatnonzero(shapely.intersects_xy(self.shapes, lon, lat))
        return self.names[inside[0]] if inside.size else NOWHERE


def cell(lon: float, lat: float) -> str:
    """The cell of 30 degrees that a place is in.

    Args:
        lon: degrees east.
        lat: degrees north.

    Examples:
        >>> cell(9.8, 57.2), cell(-70.7, -33.4)
        ('N30-60 E0-30', 'S30-60 W60-90')

    """
    return f"{_side(lat, 90, 'SN')} {_side((lon + 180) % 360 - 180, 180, 'WE')}"


def _side(degrees: float, most: int, names: str) -> str:
    low = min(max(math.floor(degrees / _CELL) * _CELL, -most), most - _CELL)
    ends = (low, low + _CELL) if low >= 0 else (-low - _CELL, -low)
    return f"{names[low >= 0]}{ends[0]}-{ends[1]}"


def load_regions(path: Path, *, column: str) -> Regions:
    """Polygons of a vector file.

    Args:
        path: GeoPackage, GeoJSON or Shapefile, in any CRS.
        column: with their names.

    Raises:
        UsageError: it cannot be read, or has no such column.

    """
    features = load_features(path)
    names = tuple(str(name) for name in features.column(column))
    kinds = set(shapely.get_type_id(features.shapes).tolist())
    if not kinds <= {int(shapely.GeometryType.POLYGON), int(shapely.GeometryType.MULTIPOLYGON)}:
        raise UsageError(f"{path} has shapes that are no polygons; regions are polygons.")
    to_degrees = transformer(features.crs, DEGREES)
    shapes = shapely.transform(
        features.shapes, lambda xy: np.column_stack(to_degrees.transform(*xy.T))
    )
    return Regions(shapes, names)
