"""Labels from a raster of codes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.dataset.legend import Legend, code_text
from lulcmap.dataset.sample import Sample, SkippedError
from lulcmap.dataset.user_labels import UserLabels, chip_cells
from lulcmap.errors import UsageError
from lulcmap.geo import datum_doubt, first_line, project, split_by_zone, understood_crs
from lulcmap.imagery import sample_pixels, transform_nodes
from lulcmap.legend import NODATA
from lulcmap.system import open_geotiff

_OUTSIDE = np.iinfo(np.int64).min
"""Value where a raster has no pixel; no code is that low."""

_STRIP_ROWS = 64
"""Rows sampled at a time; limits what is read of a label raster much finer than 10 m."""


@dataclass
class RasterLabels(UserLabels):
    """A raster of codes in any CRS; a chip's pixel takes the code that its centre lies in."""

    path: Path
    """Path of a single-band raster of integers."""

    legend: Legend
    """Meaning of the codes."""

    samples: list[Sample] = field(default_factory=list, init=False)
    left_out: dict[str, str] = field(default_factory=dict, init=False)
    kind = "raster"

    def __post_init__(self) -> None:
        try:
            with open_geotiff(self.path) as file:
                crs, dtype, count = file.crs, np.dtype(file.dtypes[0]), file.count
        except (RasterioError, OSError) as error:
            raise UsageError(
                f"The labels {self.path} cannot be read as a raster ({first_line(error)}). Give a "
                "GeoTIFF of class codes."
            ) from error
        if not crs:
            raise UsageError(
                f"The labels {self.path} have no CRS. Assign one, for example with gdal_edit."
            )
        if count != 1 or dtype.kind not in "ui":
            raise UsageError(
                f"The labels {self.path} have {count} {'band' if count == 1 else 'bands'} of "
                f"{dtype}; expected one band of integers, the class codes."
            )
        self._wkt = understood_crs(crs.to_wkt()).to_wkt()

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """The chips that the raster's outline intersects."""
        with open_geotiff(self.path) as file:
            bounds, crs = file.bounds, CRS.from_wkt(self._wkt)
        corners = np.array([[bounds.left, bounds.bottom], [bounds.right, bounds.top]])
        datum_doubt(crs, corners, str(self.path))
        to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
        west, south, east, north = to_degrees.transform_bounds(
            bounds.left, bounds.bottom, bounds.right, bounds.top, densify_pts=101
        )
        if not all(map(math.isfinite, (west, south, east, north))):
            raise UsageError(
                f"The labels {self.path} cannot be located: their bounds have no longitude and "
                "latitude. Check their CRS."
            )
        sides = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        area = shapely.MultiPolygon([shapely.box(w, south, e, north) for w, e in sides])
        for part in split_by_zone(area):
            polygon = project(part.polygon, f"EPSG:{part.epsg}")
            yield from chip_cells(polygon.bounds, part.epsg)

    def ids(self, grid: GeoBox, codes: set[str]) -> NDArray[np.uint8]:
        """(H, W) class ids of the codes that the pixels' centres lie in."""
        ids = np.full(grid.shape, NODATA, np.uint8)
        with open_geotiff(self.path) as file:
            for top in range(0, grid.shape[0], _STRIP_ROWS):
                strip = self._sample(file, grid[top : top + _STRIP_ROWS, :])
                valid = strip != _OUTSIDE
                if file.nodata is not None:
                    valid &= strip != file.nodata
                codes |= {code_text(code) for code in np.unique(strip[valid]).tolist()}
                ids[top : top + _STRIP_ROWS] = np.where(valid, self.legend.ids(strip), NODATA)
        return ids

    def _sample(self, file: Any, grid: GeoBox) -> NDArray[np.int64]:
        """(H, W) the code that each pixel's centre lies in, ``_OUTSIDE`` where there is none."""
        codes = np.full(grid.shape, _OUTSIDE, np.int64)
        row, col, xs, ys = transform_nodes(grid, self._wkt)
        to_pixel = ~file.transform
        cols = to_pixel.a * xs + to_pixel.b * ys + to_pixel.c
        rows = to_pixel.d * xs + to_pixel.e * ys + to_pixel.f
        finite = np.isfinite(cols) & np.isfinite(rows)
        if not finite.any():
            return codes
        top, left = max(int(rows[finite].min()) - 1, 0), max(int(cols[finite].min()) - 1, 0)
        bottom = min(int(rows[finite].max()) + 2, file.height)
        right = min(int(cols[finite].max()) + 2, file.width)
        if top < bottom and left < right:
            window = Window(left, top, right - left, bottom - top)
            try:
                pixels = file.read(1, window=window).astype(np.int64)
            except (RasterioError, OSError) as error:
                raise SkippedError(
                    "the labels cannot be read there: the file is broken or truncated"
                ) from error
            framed = np.pad(pixels, 1, constant_values=_OUTSIDE)
            start = (rows - top + 1, cols - left + 1)
            sample_pixels(framed, *start, (row, col), False, codes)
        return codes
