"""The windows that a model sees labels in, out of kept composites or of a catalogue.

A label is looked at as a map of ``--blend centre`` looks at it: in the window whose middle it lies
in. So each label costs one window, wherever it is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.adaptation.labels import Labels
from lulcmap.errors import UsageError
from lulcmap.geo import RESOLUTION_M, first_line, transformer
from lulcmap.model import Contract
from lulcmap.sensors import KEPT_S1_OFFSET_DB, S1_BANDS, S1_NODATA, S2_BANDS
from lulcmap.system import check_is_file, open_geotiff

POLYGON_PIXELS = 25
"""Most pixels of a polygon that are looked at, spread over it evenly."""

_MAX_TRIED = 1_000_000
"""Most pixels in the box of a polygon that are tried for it."""

_NEAR_M = 0.01
"""Pixels that differ by less from 10 m are of 10 m."""


@dataclass(frozen=True)
class LabelledWindow:
    """A window, and the pixels of labels in it."""

    s2: NDArray[np.uint16]
    """(9, H, W) DN, bands as ``S2_BANDS``; 0 nodata."""

    s1: NDArray[np.int16]
    """(2, H, W) hundredths of a decibel, VV and VH; -32768 nodata."""

    label: NDArray[np.intp]
    """(p,) number of the label of each pixel."""

    rows: NDArray[np.intp]
    """(p,) rows of the pixels in the window."""

    cols: NDArray[np.intp]
    """(p,) columns."""

    sun: NDArray[np.uint16] | None = None
    """(H, W) zenith of the sun, hundredths of a degree; None if unknown."""

    ends_with_area: bool = False
    """Whether it holds only the land of an area, where a map of the area sees land beyond it."""


class Imagery(Protocol):
    """Where windows come from."""

    def describe(self) -> str:
        """What it is, for the card."""
        ...

    def windows(
        self, labels: Labels, wanted: NDArray[np.intp], contract: Contract
    ) -> tuple[int, Iterator[LabelledWindow]]:
        """The windows of some labels.

        Args:
            labels: the labels.
            wanted: numbers of those wanted.
            contract: contract of the model, whose windows they are.

        Returns:
            How many windows there are, and the windows; pixels may lack data.

        """
        ...


@dataclass(frozen=True)
class Placed:
    """Pixels of labels in one zone or file."""

    label: NDArray[np.intp]
    """(p,) number of the label of each pixel."""

    row: NDArray[np.intp]
    """(p,) row on the lattice's grid."""

    col: NDArray[np.intp]
    """(p,) column."""

    def by_window(self, contract: Contract) -> dict[tuple[int, int], "Placed"]:
        """The pixels by the corner of the window whose middle they lie in, in a fixed order."""
        step = contract.step
        half = (contract.window - step) // 2
        tops, lefts = ((at - half) // step * step for at in (self.row, self.col))
        found: dict[tuple[int, int], list[int]] = {}
        for number, corner in enumerate(zip(tops.tolist(), lefts.tolist(), strict=True)):
            found.setdefault(corner, []).append(number)
        return {
            corner: Placed(self.label[at], self.row[at] - corner[0], self.col[at] - corner[1])
            for corner, at in sorted(found.items())
        }


def place_labels(
    labels: Labels, wanted: NDArray[np.intp], crs: CRS, affine: Affine, offset: tuple[int, int]
) -> Placed:
    """The pixels of labels on a grid.

    Args:
        labels: the labels.
        wanted: numbers of those wanted.
        crs: CRS of the grid.
        affine: from (col, row) of the grid to its CRS.
        offset: row and column, on the lattice, of the grid's first pixel.

    """
    to_grid = transformer("EPSG:4326", crs.to_wkt())
    numbers, rows, cols = [], [], []
    for number in wanted.tolist():
        shape = shapely.transform(
            labels.shapes[number], lambda xy: np.column_stack(to_grid.transform(*xy.T))
        )
        shape = shapely.transform(shape, lambda xy: np.column_stack(~affine @ (xy[:, 0], xy[:, 1])))
        if not np.isfinite(shapely.get_coordinates(shape)).all():
            continue
        row, col = _pixels(shape)
        numbers.append(np.full(len(row), number))
        rows.append(row + offset[0])
        cols.append(col + offset[1])
    if not numbers:
        return Placed(*(np.empty(0, np.intp) for _ in range(3)))
    return Placed(*(np.concatenate(part).astype(np.intp) for part in (numbers, rows, cols)))


def _pixels(shape: shapely.Geometry) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of a shape given in pixels: a point's own, or some of a polygon's."""
    if shape.area > 0:
        west, north, east, south = shape.bounds
        box = (east - west) * (south - north)  # parts may lie far apart
        step = max(1, int(np.sqrt(max(shape.area / POLYGON_PIXELS, box / _MAX_TRIED))))
        cols, rows = np.meshgrid(
            np.arange(np.floor(west), np.ceil(east), step),
            np.arange(np.floor(north), np.ceil(south), step),
        )
        inside = shapely.contains_xy(shape, cols + 0.5, rows + 0.5)
        if inside.any():
            rows, cols = rows[inside], cols[inside]
            few = np.unique(np.linspace(0, len(rows) - 1, POLYGON_PIXELS).round().astype(np.intp))
            return rows[few].astype(np.intp), cols[few].astype(np.intp)
    point = shape.representative_point()
    return np.array([np.floor(point.y)], np.intp), np.array([np.floor(point.x)], np.intp)


@dataclass(frozen=True)
class KeptComposite:
    """A composite that ``lulcmap predict --save-composite`` kept."""

    path: Path
    """Its file."""

    crs: CRS = field(repr=False)
    """Its CRS."""

    affine: Affine = field(repr=False)
    """From (col, row) to its CRS."""

    shape: tuple[int, int] = field(repr=False)
    """Height, width."""

    @classmethod
    def open(cls, path: Path) -> "KeptComposite":
        """Look at a composite's file.

        Raises:
            UsageError: it is none.

        """
        check_is_file(path, UsageError)
        try:
            with open_geotiff(path) as file:
                bands, kinds = file.descriptions, set(file.dtypes)
                crs, affine, shape = file.crs, file.transform, file.shape
        except RasterioError as error:
            raise UsageError(
                f"{path} cannot be read ({first_line(error)}); give a composite that lulcmap "
                "predict --save-composite wrote."
            ) from error
        is_10_m = max(abs(abs(side) - RESOLUTION_M) for side in (affine.a, affine.e)) < _NEAR_M
        is_composite = bands == (*S2_BANDS, *S1_BANDS) and kinds == {"uint16"}
        if crs is None or not is_composite or not is_10_m:
            raise UsageError(
                f"{path} is no composite of lulcmap, with pixels of 10 m and the bands "
                f"{', '.join((*S2_BANDS, *S1_BANDS))}. Make one: lulcmap predict --save-composite."
            )
        return cls(path, CRS.from_wkt(crs.to_wkt()), affine, shape)

    def describe(self) -> str:
        """Its name."""
        return self.path.name

    @property
    def offset(self) -> tuple[int, int]:
        """Row and column of its first pixel, counted from its CRS's origin, as in a zone."""
        return round(-self.affine.f / RESOLUTION_M), round(self.affine.c / RESOLUTION_M)

    def windows(
        self, labels: Labels, wanted: NDArray[np.intp], contract: Contract
    ) -> tuple[int, Iterator[LabelledWindow]]:
        """The windows of the labels that it shows, as of ``Imagery``."""
        placed = place_labels(labels, wanted, self.crs, self.affine, self.offset)
        row, col = placed.row - self.offset[0], placed.col - self.offset[1]
        shown = (row >= 0) & (col >= 0) & (row < self.shape[0]) & (col < self.shape[1])
        shown &= ~np.isin(placed.label, placed.label[~shown])  # half a polygon is not the label
        placed = Placed(placed.label[shown], placed.row[shown], placed.col[shown])
        found = placed.by_window(contract)
        return len(found), self._read(found, contract.window)

    def _read(self, found: dict[tuple[int, int], Placed], size: int) -> Iterator[LabelledWindow]:
        with open_geotiff(self.path) as file:
            for (top, left), pixels in found.items():
                at = Window(left - self.offset[1], top - self.offset[0], size, size)
                try:
                    bands = file.read(window=at, boundless=True, fill_value=0)
                except RasterioError as error:
                    raise UsageError(
                        f"{self.path} cannot be read ({first_line(error)}). Make it again."
                    ) from error
                yield LabelledWindow(
                    *(*decoded(bands), pixels.label, pixels.row, pixels.col), ends_with_area=True
                )


def decoded(bands: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], NDArray[np.int16]]:
    """Sentinel-2 and Sentinel-1 of a kept composite (11, H, W), as a model takes them."""
    n = len(S2_BANDS)
    decibels = bands[n:].astype(np.int32) + round(100 * KEPT_S1_OFFSET_DB)
    s1 = np.where(bands[n:] == 0, S1_NODATA, decibels).astype(np.int16)
    return bands[:n], s1
