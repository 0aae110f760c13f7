"""Rasters that several requests read at once, each with a dataset of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
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
        self._idle: list[Any] = []

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """The dataset, which no other thread uses meanwhile.

        Raises:
            UsageError: it cannot be read.

        """
        with _AT_ONCE, rasterio.Env(**GDAL_OPTIONS):
            try:
                dataset = self._idle.pop() if self._idle else open_geotiff(self.path)
                yield dataset
            except RasterioError as error:
                raise UsageError(
                    f"{self.path} cannot be read ({first_line(error)}). It may have been changed "
                    "or be truncated; start again with a whole file."
                ) from error
            self._idle.append(dataset)

    def close(self) -> None:
        """Close the datasets that nobody uses."""
        while self._idle:
            with suppress(RasterioError):
                self._idle.pop().close()
