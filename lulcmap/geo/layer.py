"""A layer of a user's vector file, as every reader gives it."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS

FORMATS = "GeoJSON, GeoPackage, Shapefile, FlatGeobuf, KML, GML or GeoParquet"
"""Formats that are read, for messages."""


@dataclass(frozen=True, slots=True)
class VectorLayer:
    """Geometries with their attributes."""

    kind: str
    """Format of the file, such as ``"GeoJSON"``."""

    shapes: NDArray[np.object_]
    """(n,) shapely geometries in two dimensions; None where a feature has none."""

    crs: CRS | None
    """CRS of the geometries; None if the file has none."""

    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    """(n,) values of each attribute, by its name."""


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".")[:200] if lines else type(error).__name__
