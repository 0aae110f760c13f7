"""A finished class map, read in windows and at single pixels, in bounded memory."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.windows import Window

from lulcmap.errors import UsageError
from lulcmap.legend import CLASS_TAG, CLASSES, NODATA

_GDAL_ENV = {"GDAL_CACHEMAX": 64 * 2**20}  # bytes; GDAL's default is 5 % of the machine

MOST_PIXELS = 2**24
"""Read at once."""


@dataclass(frozen=True, slots=True)
class ClassMap:
    """An open map."""

    path: Path
    """Its file."""

    shape: tuple[int, int]
    """Rows, columns."""

    transform: Affine
    """From column and row to x and y of the CRS."""

    crs: CRS
    """Of the map."""

    legend: Mapping[int, str]
    """Names of its classes by value, from its tags; Dynamic World's where it has none."""

    _dataset: Any

    @property
    def confidence_band(self) -> int | None:
        """Number of the band with percent of confidence, where there is one."""
        names = [str(name or "").lower() for name in self._dataset.descriptions]
        return names.index("confidence") + 1 if "confidence" in names else None

    def window(self, row: int, col: int, height: int, width: int, *, band: int = 1) -> NDArray[Any]:
        """(height, width) values of a part of the map; its own nodata becomes 255.

        Raises:
            UsageError: it cannot be read.

        """
        try:
            values = self._dataset.read(band, window=Window(col, row, width, height))
        except RasterioError as error:
            raise UsageError(
                f"{self.path} cannot be read to its end ({error}). Is it cut off? Make it again."
            ) from error
        nodata = self._dataset.nodata
        if nodata is not None and 0 <= nodata < NODATA:
            values[values == nodata] = NODATA
        return values

    def pixels(
        self, xs: NDArray[np.float64], ys: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(...) fractional rows and columns of points in the map's CRS."""
        back = ~self.transform
        return back.d * xs + back.e * ys + back.f, back.a * xs + back.b * ys + back.c

    def at(
        self, xs: NDArray[np.float64], ys: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """The map where some points are: the values of the pixels they lie in.

        Args:
            xs: (n,) easting or longitude in the map's CRS; not finite is nowhere.
            ys: (n,) as ``xs``.

        Returns:
            (n,) values of the map, 255 outside; (n,) confidence 0 to 1, if the map has that.

        """
        height, width = self.shape
        rows, cols = self.pixels(xs, ys)
        with np.errstate(invalid="ignore"):
            inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        values = np.full(xs.shape, NODATA, np.uint8)
        sure = None if self.confidence_band is None else np.zeros(xs.shape, np.float32)
        self._fill(np.floor(rows), np.floor(cols), np.flatnonzero(inside), values, sure)
        return values, sure

    def _fill(
        self,
        rows: NDArray[np.float64],
        cols: NDArray[np.float64],
        which: NDArray[np.int64],
        values: NDArray[np.uint8],
        sure: NDArray[np.float32] | None,
    ) -> None:
        """Read the pixels of some points: all at once, or in halves if they are far apart."""
        if not which.size:
            return
        top, left = int(rows[which].min()), int(cols[which].min())
        height = int(rows[which].max()) - top + 1
        width = int(cols[which].max()) - left + 1
        if height * width > MOST_PIXELS:
            along = rows if height >= width else cols
            first = along[which] < (top + height // 2 if height >= width else left + width // 2)
            self._fill(rows, cols, which[first], values, sure)
            self._fill(rows, cols, which[~first], values, sure)
            return
        at = rows[which].astype(np.int64) - top, cols[which].astype(np.int64) - left
        values[which] = self.window(top, left, height, width)[at]
        if sure is not None:
            band = self.confidence_band
            percent = self.window(top, left, height, width, band=band or 1)[at]
            sure[which] = percent.astype(np.float32) / 100


@contextmanager
def opened(path: Path) -> Iterator[ClassMap]:
    """A class map, open.

    Raises:
        UsageError: the file is none.

    """
    with rasterio.Env(**_GDAL_ENV):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # it is refused below
                dataset = rasterio.open(path)
        except RasterioError:
            raise UsageError(f"{path} is no raster that can be read; give a GeoTIFF.") from None
        with dataset:
            if dataset.dtypes[0] != "uint8" or dataset.crs is None:
                found = f"values of {dataset.dtypes[0]}" + " without a CRS" * (dataset.crs is None)
                raise UsageError(
                    f"{path} has {found}; a class map has uint8 and a CRS. Convert it, for example "
                    "with gdal_translate -ot Byte."
                )
            yield ClassMap(
                path,
                dataset.shape,
                dataset.transform,
                CRS.from_wkt(dataset.crs.to_wkt()),
                _legend(dataset.tags(1)),
                dataset,
            )


def _legend(tags: Mapping[str, str]) -> dict[int, str]:
    """Names of the classes by value."""
    numbers = {
        key.removeprefix(CLASS_TAG): name for key, name in tags.items() if key.startswith(CLASS_TAG)
    }
    own = {int(number): name for number, name in numbers.items() if number.isdecimal()}
    return dict(sorted(own.items())) or {cover.id: cover.name for cover in CLASSES}


@cache
def transformer(source: CRS, target: CRS) -> Transformer:
    """Between two CRS, x before y; the same one for the same CRS, for each takes long."""
    return Transformer.from_crs(source, target, always_xy=True)
