"""What cleaning did to a map, by class."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA


@dataclass(frozen=True, slots=True)
class CleanedClass:
    """What cleaning did to one class."""

    class_id: int
    """Value in the map."""

    name: str
    """Name of the class."""

    before_ha: float
    """Hectares on the WGS 84 ellipsoid in the map."""

    after_ha: float
    """Hectares in the cleaned map."""

    patches: int
    """Patches that went to another class."""

    moved_ha: float
    """Their hectares."""

    def to_json(self) -> dict[str, Any]:
        """The row as plain JSON values, its columns in order."""
        return {
            "class_id": self.class_id,
            "class": self.name,
            "before_ha": round(self.before_ha, 4),
            "after_ha": round(self.after_ha, 4),
            "patches": self.patches,
            "moved_ha": round(self.moved_ha, 4),
        }


@dataclass(frozen=True, slots=True)
class CleanReport:
    """What cleaning did to a map."""

    out: Path
    """Path of the cleaned map."""

    minimum: str
    """The minimum area, with its unit."""

    classes: tuple[CleanedClass, ...]
    """A row for each class that occurs in the map."""

    left: int
    """Small patches that stay for want of a neighbour."""

    notes: tuple[str, ...]
    """What a reader has to know, in sentences."""

    @property
    def patches(self) -> int:
        """Patches that went to another class."""
        return sum(row.patches for row in self.classes)

    @property
    def moved_ha(self) -> float:
        """Their hectares."""
        return sum(row.moved_ha for row in self.classes)

    @property
    def moved_share(self) -> float:
        """Their share of the mapped area."""
        return self.moved_ha / sum(row.before_ha for row in self.classes)

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "map": str(self.out),
            "min_area": self.minimum,
            "patches": self.patches,
            "moved_ha": round(self.moved_ha, 4),
            "moved_percent": round(100 * self.moved_share, 4),
            "classes": [row.to_json() for row in self.classes],
            "notes": list(self.notes),
        }


def cleaned_classes(
    areas: NDArray[np.float64], settled: NDArray[np.int64], names: Mapping[int, str]
) -> tuple[CleanedClass, ...]:
    """A row for each class that occurs.

    Args:
        areas: (256, 256) square metres by the value before and after.
        settled: (256,) patches that went to another class.
        names: names of the values.

    """
    hectares = areas[:NODATA, :NODATA] / 1e4
    before, after, same = hectares.sum(axis=1), hectares.sum(axis=0), hectares.diagonal()
    return tuple(
        CleanedClass(
            value,
            names[value],
            float(before[value]),
            float(after[value]),
            int(settled[value]),
            float(before[value] - same[value]),
        )
        for value in np.flatnonzero(before).tolist()
    )
