"""What a dataset is built from: samples, each a label to read and the image that belongs to it."""

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
    """No chip can be made of a label, however often it is tried; the text says why."""


@dataclass(frozen=True)
class Sample:
    """A label that a chip is to be made of."""

    name: str
    """Name of the chip's folder."""

    annotator: str
    """``"expert"``, ``"nonexpert"``, ``"holdout"`` or ``"own"``."""

    source: str
    """Name of the label file in the index."""

    files: tuple[Path | None, ...]
    """Path of the label file; or four, of experts 1 to 3 and the non-expert, None where one of them
    did not label it."""

    grid: GeoBox
    """Grid of the label: 10 m, in a UTM zone."""

    day: date | None = None
    """Day of the image that the label was drawn on; None where the label is valid for a period."""

    @property
    def epsg(self) -> int:
        """EPSG code of the grid."""
        code = self.grid.crs.epsg if self.grid.crs else None
        if code is None:
            raise ValueError(f"the grid of {self.name} has no EPSG code")
        return int(code)

    @property
    def is_test(self) -> bool:
        """Whether it is one of the hold-out tiles, which are for testing."""
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
    """The class of each pixel of a sample."""

    ids: NDArray[np.uint8]
    """(H, W) class ids, codes of label sets, 255 unknown."""

    votes: NDArray[np.uint8] | None = None
    """(4, H, W) class ids by experts 1 to 3 and the non-expert, 255 where one gave none."""

    probabilities: NDArray[np.uint8] | None = None
    """(K, H, W) probability of each class, percent, 0 in all where the label is certain or unknown;
    None without soft labels. ``ids`` then holds the most probable class."""

    weight: NDArray[np.uint8] | None = None
    """(H, W) how much a pixel counts in training, percent; None for 100 everywhere."""


@dataclass(frozen=True, slots=True)
class Image:
    """What the satellites saw of a sample."""

    s2: NDArray[np.uint16]
    """(9, H, W) DN without offset, 0 nodata: in all bands or in none."""

    s1: NDArray[np.int16]
    """(2, H, W) hundredths of a decibel, -32768 nodata."""

    day: date
    """Day of the Sentinel-2 image, or the middle of its period."""

    s2_ids: tuple[str, ...]
    """Ids of the Sentinel-2 items that pixels come from."""

    s1_ids: tuple[str, ...]
    """Ids of the Sentinel-1 items that pixels come from."""

    s1_dates: tuple[str, ...]
    """ISO dates of ``s1_ids``."""

    s1_orbit: str | None
    """``"descending"``, ``"ascending"``, ``"both"``, or None without radar."""


class Labels(Protocol):
    """Where labels come from: Dynamic World's tiles, or the user's own file."""

    samples: list[Sample]
    """All samples, sorted by name."""

    left_out: dict[str, str]
    """Label files that cannot be used, and why."""

    def read(self, sample: Sample) -> Label:
        """Read the label of a sample.

        Raises:
            SkippedError: it cannot be used.

        """
        ...

    def digest(self, sample: Sample) -> str:
        """SHA-256 of the files that a sample is read from, hexadecimal."""
        ...

    def settings(self) -> Mapping[str, Any]:
        """Settings that decide how the labels are read, plain JSON."""
        ...


class Images(Protocol):
    """Where the images come from."""

    def read(self, sample: Sample) -> Image:
        """Read the image of a sample.

        Raises:
            SkippedError: there is none.
            ProviderError: it is not available this time.

        """
        ...

    def settings(self) -> Mapping[str, Any]:
        """Settings that decide the images, plain JSON."""
        ...


def digest_files(*paths: Path | None) -> str:
    """SHA-256 of files, hexadecimal; None stands for a missing one."""
    total = hashlib.sha256()
    for path in paths:
        if path is not None:
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        total.update(b"|")
    return total.hexdigest()
