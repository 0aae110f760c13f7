"""Labels from a raster of codes."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import CRS, Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.dataset.legend import Legend, code_text
from lulcmap.dataset.sample import Sample, SkippedError
from lulcmap.dataset.user_labels import OwnLabels, cells_of
from lulcmap.errors import UsageError
from lulcmap.geo import project, split_by_zone
from lulcmap.imagery import sample_pixels, transform_nodes
from lulcmap.legend import NODATA

_OUTSIDE = np.iinfo(np.int64).min
"""Where a raster has no pixel; no code is so low."""

_BAND = 64
"""Rows sampled at a time: bounds what is read of a label raster much finer than 10 m."""


@dataclass
class RasterLabels(OwnLabels):
    """A raster of codes in any CRS; a chip's pixel takes the code its centre lies in."""

    path: Path
    """Of a single-band raster of whole numbers."""

    legend: Legend
    """What the codes mean."""

    samples: list[Sample] = field(default_factory=list, init=False)
    left_out: dict[str, str] = field(default_factory=dict, init=False)
    kind = "raster"

    def __post_init__(self) -> None:
        try:
            with rasterio.open(self.path) as file:
                crs, dtype, count = file.crs, np.dtype(file.dtypes[0]), file.count
        except (RasterioError, OSError) as error:
            raise UsageError(
                f"The labels {self.path} cannot be read as a raster: the file is not there, is "
                "broken, or of another kind. Give a GeoTIFF of class codes."
            ) from error
        if not crs:
            raise UsageError(f"The labels {self.path} do not say their CRS. Give the file one.")
        if count != 1 or dtype.kind not in "ui":
            raise UsageError(
                f"The labels {self.path} have {count} bands of {dtype}; expected one band of whole "
                "numbers, the class codes."
            )

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """The chips that the raster's outline meets."""
        with rasterio.open(self.path) as file:
            bounds, crs = file.bounds, CRS.from_user_input(file.crs)
        to_degrees = Transformer.from_crs(crs, 4326, always_xy=True)
        west, south, east, north = to_degrees.transform_bounds(
            bounds.left, bounds.bottom, bounds.right, bounds.top, densify_pts=101
        )
        if not all(map(math.isfinite, (west, south, east, north))):
            raise UsageError(f"The place of the labels {self.path} cannot be told from its CRS.")
        sides = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
        area = shapely.MultiPolygon([shapely.box(w, south, e, north) for w, e in sides])
        for part in split_by_zone(area):
            polygon = project(part.polygon, f"EPSG:{part.epsg}")
            yield from cells_of(polygon.bounds, part.epsg)

    def ids(self, on: GeoBox, seen: set[str]) -> NDArray[np.uint8]:
        """The nearest code of every pixel."""
        ids = np.full(on.shape, NODATA, np.uint8)
        with rasterio.open(self.path) as file:
            for top in range(0, on.shape[0], _BAND):
                codes = self._codes(file, on[top : top + _BAND, :])
                known = codes != _OUTSIDE
                if file.nodata is not None:
                    known &= codes != file.nodata
                seen |= {code_text(code) for code in np.unique(codes[known]).tolist()}
                ids[top : top + _BAND] = np.where(known, self.legend.ids(codes), NODATA)
        return ids

    def _codes(self, file: Any, on: GeoBox) -> NDArray[np.int64]:
        """(H, W) the code each pixel's centre lies in, ``_OUTSIDE`` where there is none."""
        codes = np.full(on.shape, _OUTSIDE, np.int64)
        row, col, xs, ys = transform_nodes(on, file.crs.to_wkt())
        across = ~file.transform
        cols = across.a * xs + across.b * ys + across.c
        rows = across.d * xs + across.e * ys + across.f
        there = np.isfinite(cols) & np.isfinite(rows)
        if not there.any():
            return codes
        top, left = max(int(rows[there].min()) - 1, 0), max(int(cols[there].min()) - 1, 0)
        bottom = min(int(rows[there].max()) + 2, file.height)
        right = min(int(cols[there].max()) + 2, file.width)
        if top < bottom and left < right:
            window = Window(left, top, right - left, bottom - top)
            try:
                pixels = file.read(1, window=window).astype(np.int64)
            except (RasterioError, OSError) as error:
                raise SkippedError(
                    "the labels cannot be read there: they are broken or cut short"
                ) from error
            framed = np.pad(pixels, 1, constant_values=_OUTSIDE)
            start = (rows - top + 1, cols - left + 1)
            sample_pixels(framed, *start, (row, col), False, codes)
        return codes
