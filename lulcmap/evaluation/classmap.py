"""Read a finished class map in windows and at single pixels, in bounded memory."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from rasterio.enums import ColorInterp, Resampling
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from lulcmap.errors import UsageError
from lulcmap.geo import first_line, understood_crs
from lulcmap.legend import CLASS_TAG, CLASSES, NODATA
from lulcmap.system import check_is_file, open_geotiff

_GDAL_ENV = {"GDAL_CACHEMAX": 64 * 2**20}  # bytes; GDAL's default is 5 % of the machine

_WINDOW_PX = 1024
"""Side of the windows of ``boxes``, pixels."""

CHANGE_TAG = "LULCMAP_CHANGE"
"""Tag of the rasters that ``lulcmap change`` writes: what they show."""

MAX_PIXELS = 2**24
"""Most pixels that are read at once."""


@dataclass(frozen=True, slots=True)
class ClassMap:
    """An open map."""

    path: Path
    """Path of its file."""

    shape: tuple[int, int]
    """Rows and columns."""

    transform: Affine
    """Transform from (column, row) to (x, y) of the CRS."""

    crs: CRS
    """CRS of the map."""

    legend: Mapping[int, str]
    """Names of the classes by value, from the map's tags; Dynamic World's without tags."""

    is_named: bool
    """Whether the map names its classes."""

    _dataset: Any

    @property
    def confidence_band(self) -> int | None:
        """Number of the band of confidence in percent, if there is one."""
        names = [str(name or "").lower() for name in self._dataset.descriptions]
        return names.index("confidence") + 1 if "confidence" in names else None

    @property
    def palette(self) -> Mapping[int, tuple[int, int, int]]:
        """Red, green and blue of each value, 0 to 255; empty if the map has no palette."""
        try:
            return {value: colour[:3] for value, colour in self._dataset.colormap(1).items()}
        except ValueError:
            return {}

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags of the file."""
        tags: Mapping[str, str] = self._dataset.tags()
        return tags

    @property
    def is_striped(self) -> bool:
        """Whether its blocks on disk are as wide as the map."""
        return bool(self._dataset.block_shapes[0][1] == self.shape[1])

    @contextmanager
    def on_grid_of(self, other: "ClassMap") -> Iterator["ClassMap"]:
        """The map at the pixels of another one: at each the value its centre lies in, 255 outside.

        Raises:
            UsageError: its CRS has no place on the other's.

        """
        height, width = other.shape
        nodata = self._dataset.nodata
        try:
            with WarpedVRT(
                self._dataset,
                crs=other.crs.to_wkt(),
                transform=other.transform,
                height=height,
                width=width,
                resampling=Resampling.nearest,
                src_nodata=NODATA if nodata is None else nodata,
                nodata=NODATA,
                tolerance=0.01,  # pixels
                warp_mem_limit=64,  # MB
            ) as warped:
                yield replace(
                    self,
                    shape=other.shape,
                    transform=other.transform,
                    crs=other.crs,
                    _dataset=warped,
                )
        except RasterioError as error:
            raise UsageError(
                f"{self.path} cannot be read at the pixels of {other.path} ({first_line(error)})."
            ) from error

    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Row, column, height and width of windows that tile the map, along its blocks on disk.

        A striped file is read in bands as wide as the map: GDAL would decode each strip once for
        each window beside another.
        """
        height, width = self.shape
        across = width if self.is_striped else _WINDOW_PX
        down = max(_WINDOW_PX**2 // across, 1)
        return [
            (row, col, min(down, height - row), min(across, width - col))
            for row in range(0, height, down)
            for col in range(0, width, across)
        ]

    def window(self, row: int, col: int, height: int, width: int, *, band: int = 1) -> NDArray[Any]:
        """(height, width) values of a window of the map; its own nodata becomes 255.

        Raises:
            UsageError: the map cannot be read.

        """
        try:
            values = self._dataset.read(band, window=Window(col, row, width, height))
        except RasterioError as error:
            raise UsageError(
                f"{self.path} cannot be read to its end ({error}); it may be truncated. Make it "
                "again."
            ) from error
        nodata = self._dataset.nodata
        if nodata is not None and 0 <= nodata < NODATA:
            values[values == nodata] = NODATA
        return values

    def pixels(
        self, xs: NDArray[np.float64], ys: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(...) fractional rows and columns of points in the map's CRS."""
        to_pixel = ~self.transform
        cols = to_pixel.a * xs + to_pixel.b * ys + to_pixel.c
        return to_pixel.d * xs + to_pixel.e * ys + to_pixel.f, cols

    def at(
        self, xs: NDArray[np.float64], ys: NDArray[np.float64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """Values and confidences of the map at some points: those of the pixels they lie in.

        Args:
            xs: (n,) easting or longitude in the map's CRS; not finite where a point has no place.
            ys: (n,) northing or latitude, likewise.

        Returns:
            (n,) values of the map, 255 outside; (n,) confidence, 0 to 1, if the map has a band of
            it.

        """
        height, width = self.shape
        rows, cols = self.pixels(xs, ys)
        with np.errstate(invalid="ignore"):
            inside = (rows >= 0) & (rows < height) & (cols >= 0) & (cols < width)
        values = np.full(xs.shape, NODATA, np.uint8)
        confidence = None if self.confidence_band is None else np.zeros(xs.shape, np.float32)
        self._fill(np.floor(rows), np.floor(cols), np.flatnonzero(inside), values, confidence)
        return values, confidence

    def _fill(
        self,
        rows: NDArray[np.float64],
        cols: NDArray[np.float64],
        points: NDArray[np.int64],
        values: NDArray[np.uint8],
        confidence: NDArray[np.float32] | None,
    ) -> None:
        """Read the pixels of some points: at once, or in halves if the points are far apart."""
        if not points.size:
            return
        top, left = int(rows[points].min()), int(cols[points].min())
        height = int(rows[points].max()) - top + 1
        width = int(cols[points].max()) - left + 1
        if height * width > MAX_PIXELS:
            along = rows if height >= width else cols
            first = along[points] < (top + height // 2 if height >= width else left + width // 2)
            self._fill(rows, cols, points[first], values, confidence)
            self._fill(rows, cols, points[~first], values, confidence)
            return
        at = rows[points].astype(np.int64) - top, cols[points].astype(np.int64) - left
        values[points] = self.window(top, left, height, width)[at]
        if confidence is not None:
            band = self.confidence_band
            percent = self.window(top, left, height, width, band=band or 1)[at]
            confidence[points] = percent.astype(np.float32) / 100


@contextmanager
def open_class_map(path: Path) -> Iterator[ClassMap]:
    """Open a class map.

    Raises:
        UsageError: the file is not a class map.

    """
    check_is_file(path, UsageError)
    with rasterio.Env(**_GDAL_ENV):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)  # refused below
                dataset = open_geotiff(path)
        except RasterioError as error:
            raise UsageError(
                f"{path} is not a readable raster ({first_line(error)}); give a GeoTIFF."
            ) from error
        with dataset:
            if dataset.dtypes[0] != "uint8" and CHANGE_TAG in dataset.tags():
                raise UsageError(
                    f"{path} is a raster of changes with more values than a class map has. Its "
                    "areas are those of lulcmap change --table; for a sample give --strata."
                )
            if dataset.dtypes[0] != "uint8" or dataset.crs is None:
                form = f"values of {dataset.dtypes[0]}" + " without a CRS" * (dataset.crs is None)
                raise UsageError(
                    f"{path} has {form}; a class map has uint8 and a CRS. Convert it, for example "
                    "with gdal_translate -ot Byte."
                )
            if dataset.colorinterp[0] == ColorInterp.red:
                raise UsageError(
                    f"{path} is a picture with red, green and blue; a class map has one band of "
                    "classes. Give the map itself."
                )
            legend = _legend(dataset.tags(1))
            yield ClassMap(
                path,
                dataset.shape,
                dataset.transform,
                understood_crs(dataset.crs.to_wkt()),
                legend or {cover.id: cover.name for cover in CLASSES},
                bool(legend),
                dataset,
            )


def _legend(tags: Mapping[str, str]) -> dict[int, str]:
    """Names of the classes by value; none if the map names no classes."""
    numbers = {
        key.removeprefix(CLASS_TAG): name for key, name in tags.items() if key.startswith(CLASS_TAG)
    }
    own = {int(number): name for number, name in numbers.items() if number.isdecimal()}
    return dict(sorted(own.items()))


@cache
def transformer(source: CRS, target: CRS) -> Transformer:
    """Transformer between two CRS, x before y; cached, since making one is slow."""
    return Transformer.from_crs(source, target, always_xy=True)
