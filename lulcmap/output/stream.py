"""A raster that is written while it is made: in pieces, by several threads, in one order."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rasterio
from numpy.typing import NDArray
from rasterio.windows import Window

from lulcmap.output.overviews import TILE_PX
from lulcmap.system import GDAL_OPTIONS, Threads

_PIECE_PX = 4 * TILE_PX
"""Columns of a piece read from a file."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some columns of a strip of tiles."""

    row: int
    """First row."""

    col: int
    """First column, that of a tile."""

    values: NDArray[Any]
    """(B, h, w) pixels: all rows of the strip, and whole tiles or up to the last column."""


@dataclass(frozen=True, slots=True)
class Raster:
    """A raster whose pixels come piece by piece."""

    layout: Mapping[str, Any]
    """Height, width, count, dtype, nodata, crs and transform, as rasterio takes them."""

    bytes: int
    """Most bytes of a file with its pixels, for the check of the disk."""

    pieces: Callable[[Threads], Iterator[Piece]]
    """All pieces, strip by strip, each from left to right."""


def raster_of(source: Path) -> Raster:
    """The raster in a file."""
    names = ("height", "width", "count", "dtype", "nodata", "crs", "transform")
    with rasterio.Env(**GDAL_OPTIONS), rasterio.open(source) as dataset:
        layout = {name: dataset.profile[name] for name in names}

    def pieces(_: Threads) -> Iterator[Piece]:
        height, width = layout["height"], layout["width"]
        with rasterio.Env(**GDAL_OPTIONS), rasterio.open(source) as dataset:
            for row in range(0, height, TILE_PX):
                for col in range(0, width, _PIECE_PX):
                    size = min(_PIECE_PX, width - col), min(TILE_PX, height - row)
                    yield Piece(row, col, dataset.read(window=Window(col, row, *size)))

    return Raster(layout, source.stat().st_size, pieces)
