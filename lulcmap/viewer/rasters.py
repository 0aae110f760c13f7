"""Rasters that several requests read at once, each with a dataset of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError

from lulcmap.errors import UsageError
from lulcmap.geo import first_line
from lulcmap.system import GDAL_OPTIONS, open_geotiff

_AT_ONCE = threading.BoundedSemaphore(4)
"""Reads at once: more do not make tiles faster, and each takes memory."""


class Raster:
    """A GeoTIFF that any thread may read.

    Sidecar files are ignored: they may send GDAL elsewhere. So only overviews in the file count.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pyramid: tuple[float, tuple[int, ...]] | None = None
        """Side of a pixel in metres of Web Mercator, and how many times coarser each overview
        is; None until a tile is read."""
        self._idle: dict[int | None, list[Any]] = {}

    @contextmanager
    def opened(self, overview: int | None = None) -> Iterator[Any]:
        """The dataset, which no other thread uses meanwhile.

        Args:
            overview: number of an overview to read instead, 0 the finest.

        Raises:
            UsageError: it cannot be read.

        """
        with _AT_ONCE, rasterio.Env(**GDAL_OPTIONS):
            idle = self._idle.setdefault(overview, [])
            try:
                dataset = idle.pop() if idle else open_geotiff(self.path, overview=overview)
                yield dataset
            except RasterioError as error:
                raise UsageError(
                    f"{self.path} cannot be read ({first_line(error)}). It may have been changed "
                    "or be truncated; start again with a whole file."
                ) from error
            idle.append(dataset)
