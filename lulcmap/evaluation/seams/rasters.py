"""Rasters of classes that are read patch by patch."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.windows import Window

from lulcmap.geo import transformer

Index = tuple[slice, slice]
"""Rows and columns of an array."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A part of a raster; the pairs of neighbours whose first pixel is in its core are counted."""

    values: NDArray[np.uint8]
    """(H, W) classes, 255 nodata."""

    grid: GeoBox
    """Grid of the patch, (H, W)."""

    core: tuple[int, int, int, int]
    """First row, first column, height and width of the core, in pixels of the patch."""

    to_degrees: Transformer
    """Transformer from the grid's CRS to longitude and latitude."""

    def pairs(self) -> Iterator[tuple[Index, Index]]:
        """Indices of the first and second pixels of pairs: side by side, then one below another."""
        top, left, height, width = self.core
        for down, right in ((0, 1), (1, 0)):
            bottom = min(top + height, self.values.shape[0] - down)
            end = min(left + width, self.values.shape[1] - right)
            yield (
                (slice(top, bottom), slice(left, end)),
                (slice(top + down, bottom + down), slice(left + right, end + right)),
            )

    def centres(
        self, row: NDArray[np.int64], col: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates of the centres of pixels, x before y."""
        affine = self.grid.affine
        x = (affine.c + (col + 0.5) * affine.a).astype(np.float64)
        y = (affine.f + (row + 0.5) * affine.e).astype(np.float64)
        return x, y


@dataclass(frozen=True, slots=True)
class Raster:
    """A north-up raster of classes."""

    dataset: Any
    """Dataset opened by rasterio; its first band holds the classes."""

    grid: GeoBox
    """Grid of the raster."""

    zone: int | None = None
    """EPSG code of the only UTM zone; None if each pixel's centre decides its zone."""

    def patch(self, row: int, col: int, *, shape: tuple[int, int], halo: int = 0) -> Patch:
        """Read a part of the raster with the pixels around it that exist.

        Args:
            row: first row of the core.
            col: first column of the core.
            shape: height and width of the core.
            halo: pixels around the core; after the last row and column at least one is read.

        """
        height, width = self.grid.shape
        top, left = max(row - halo, 0), max(col - halo, 0)
        bottom = min(row + shape[0] + max(halo, 1), height)
        right = min(col + shape[1] + max(halo, 1), width)
        values = self.dataset.read(1, window=Window(left, top, right - left, bottom - top))
        core = row - top, col - left, min(shape[0], height - row), min(shape[1], width - col)
        return Patch(
            values,
            self.grid[top:bottom, left:right],
            core,
            transformer(str(self.grid.crs), "EPSG:4326"),
        )
