"""What a dataset is made of: labels to be read, and the images that belong to them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.geo import footprint


class SkippedError(Exception):
    """A label that no chip can be made of, whatever is tried; the text says why."""


@dataclass(frozen=True)
class Sample:
    """A label that is to become a chip."""

    name: str
    """Of the chip's folder."""

    annotator: str
    """``"expert"``, ``"nonexpert"``, ``"holdout"`` or ``"own"``."""

    source: str
    """The label file as the index names it."""

    files: tuple[Path | None, ...]
    """One file; or four, of experts 1 to 3 and the non-expert, None where one said nothing."""

    grid: GeoBox
    """10 m, in a UTM zone."""

    day: date | None = None
    """Of the image it was drawn on; None where the label is of a period."""

    @property
    def epsg(self) -> int:
        """Of the grid."""
        code = self.grid.crs.epsg if self.grid.crs else None
        if code is None:
            raise ValueError(f"the grid of {self.name} has no EPSG code")
        return int(code)

    @property
    def is_test(self) -> bool:
        """Whether it is one of the tiles kept to test with."""
        return self.annotator == "holdout"

    def area(self) -> shapely.MultiPolygon:
        """Box around it, longitude, latitude, degrees; cut at 180 degrees."""
        west, south, east, north = footprint(self.grid)
        if west <= east:
            return shapely.MultiPolygon([shapely.box(west, south, east, north)])
        return shapely.MultiPolygon(
            [shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)]
        )


@dataclass(frozen=True, slots=True)
class Label:
    """What was said of each pixel."""

    ids: NDArray[np.uint8]
    """(H, W) class ids, 255 unknown."""

    votes: NDArray[np.uint8] | None = None
    """(4, H, W) ids by experts 1 to 3 and the non-expert, 255 where one said nothing."""


@dataclass(frozen=True, slots=True)
class Image:
    """What the satellites saw of a sample."""

    s2: NDArray[np.uint16]
    """(9, H, W) DN without offset, 0 nodata: in all bands or in none."""

    s1: NDArray[np.int16]
    """(2, H, W) hundredths of a decibel, -32768 nodata."""

    day: date
    """Of the Sentinel-2 image, or the middle of its period."""

    s2_ids: tuple[str, ...]
    """Of the items that gave pixels."""

    s1_ids: tuple[str, ...]
    """Of the items that gave pixels."""

    s1_dates: tuple[str, ...]
    """ISO dates of ``s1_ids``."""

    s1_orbit: str | None
    """``"descending"``, ``"ascending"``, ``"both"``, or None without radar."""


class Labels(Protocol):
    """Where labels come from: Dynamic World's tiles, or the user's own file."""

    samples: list[Sample]
    """All there are, sorted by name."""

    left_out: dict[str, str]
    """Label files that cannot be used, and why."""

    def read(self, sample: Sample) -> Label:
        """What a sample says.

        Raises:
            SkippedError: it cannot be used.

        """
        ...

    def digest(self, sample: Sample) -> str:
        """SHA-256 of what a sample is read from, hexadecimal."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """What decides how the labels are read, plain JSON."""
        ...


class Images(Protocol):
    """Where the images come from."""

    def of(self, sample: Sample) -> Image:
        """The image of a sample.

        Raises:
            SkippedError: there is none.
            ProviderError: it could not be had this time.

        """
        ...

    def settings(self) -> Mapping[str, Any]:
        """What decides the images, plain JSON."""
        ...


def digest_of(*paths: Path | None) -> str:
    """SHA-256 of files, hexadecimal; None stands for one that is not there."""
    total = hashlib.sha256()
    for path in paths:
        if path is not None:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        total.update(b"|")
    return total.hexdigest()
