"""The beginning of a COG: all that comes before the first tile, as GDAL writes it.

GDAL writes the COG of a raster without a pixel, which has every tag and the tables of its tiles,
empty; the tables are filled in when the sizes of the tiles are known.
"""

import re
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.io import MemoryFile

from lulcmap.output.overviews import TILE_PX

_WIDTH, _HEIGHT, _OFFSETS, _SIZES = 256, 257, 324, 325
"""Tags of a TIFF."""

_BAND_END = b"</VRTRasterBand>"

_OVERVIEW = (
    '<Overview><SourceFilename relativeToVRT="0">{name}</SourceFilename>'
    "<SourceBand>{band}</SourceBand></Overview>"
)
"""A band of another file in memory, as an overview of a band of a virtual raster."""

_SOURCE = re.compile(rb"<(Simple|Complex)Source.*?</(Simple|Complex)Source>", re.DOTALL)
"""Where the pixels of a band of a virtual raster come from."""

_TYPES = {3: "<u2", 4: "<u4", 16: "<u8"}
"""Types of the numbers in a table of tiles."""


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of tiles in the header."""

    start: int
    """First byte."""

    dtype: str
    """Type of its numbers."""

    n: int
    """Number of tiles."""

    def fill(self, header: bytearray, values: NDArray[np.int64]) -> None:
        """Write the numbers of all tiles."""
        there = np.frombuffer(header, self.dtype, self.n, self.start)
        there[:] = values
        if (there != values).any():
            raise OSError("a table of its tiles is too small for them")


@dataclass(frozen=True, slots=True)
class Header:
    """The beginning of a COG, whose tables of tiles are empty."""

    content: bytes
    """Its bytes."""

    shapes: Sequence[tuple[int, int]]
    """Height and width of each level, the full one first."""

    _tables: Sequence[tuple[_Table, _Table]]
    """Table of the offsets and of the sizes of each level's tiles."""

    def filled(
        self, offsets: Sequence[NDArray[np.int64]], sizes: Sequence[NDArray[np.int64]]
    ) -> bytes:
        """The header of a file with these tiles, by level and row by row; 0 is no tile."""
        header = bytearray(self.content)
        for (of_offsets, of_sizes), *numbers in zip(self._tables, offsets, sizes, strict=True):
            of_offsets.fill(header, numbers[0])
            of_sizes.fill(header, numbers[1])
        return bytes(header)


def make_header(
    layout: Mapping[str, Any], dress: Callable[[Any], None], options: Mapping[str, Any]
) -> Header:
    """The beginning of a COG.

    Args:
        layout: height, width, count, dtype, nodata, crs and transform, as rasterio takes them.
        dress: gives a dataset its tags.
        options: options of GDAL's COG driver.

    """
    height, width = layout["height"], layout["width"]
    shapes = []
    while height > TILE_PX or width > TILE_PX:
        height, width = max(height // 2, 1), max(width // 2, 1)
        shapes.append((height, width))
    with ExitStack() as stack:
        empty = stack.enter_context(_empty(layout))
        smaller = [
            stack.enter_context(_empty({**layout, "height": height, "width": width}))
            for height, width in shapes
        ]
        virtual = stack.enter_context(MemoryFile(ext=".vrt"))
        written = stack.enter_context(MemoryFile(ext=".tif"))
        rasterio.shutil.copy(empty.name, virtual.name, driver="VRT")
        with rasterio.open(virtual.name, "r+") as dataset:
            dress(dataset)
        text = _with_overviews(bytes(virtual.getbuffer()), [file.name for file in smaller])
        complete = stack.enter_context(MemoryFile(text, ext=".vrt"))
        rasterio.shutil.copy(complete.name, written.name, **{**options, "NUM_THREADS": 1})
        return _parsed(bytes(written.getbuffer()))


def _empty(layout: Mapping[str, Any]) -> MemoryFile:
    """A raster without a tile, in memory."""
    file = MemoryFile(ext=".tif")
    tiles = {"tiled": True, "blockxsize": TILE_PX, "blockysize": TILE_PX}
    with file.open(
        driver="GTiff", sparse_ok=True, bigtiff="if_safer", compress="deflate", **tiles, **layout
    ):
        return file


def _with_overviews(virtual: bytes, names: Sequence[str]) -> bytes:
    """The text of a virtual raster whose bands have the bands of other files as overviews.

    Without sources of its own it has no pixels, so that GDAL need not look for any.
    """
    virtual = _SOURCE.sub(b"", virtual)
    *bands, rest = virtual.split(_BAND_END)  # not parsed: its tags may hold what XML cannot
    for number, band in enumerate(bands, 1):
        overviews = "".join(_OVERVIEW.format(name=name, band=number) for name in names)
        bands[number - 1] = band + overviews.encode()
    return _BAND_END.join([*bands, rest])


def _parsed(content: bytes) -> Header:
    """The directories of a little-endian TIFF, small or large."""
    is_big = content[2] == 43
    start, count, entry, number = (8, "<Q", "<HHQ", "<Q") if is_big else (4, "<H", "<HHI", "<I")
    size = struct.calcsize(number)
    shapes, tables = [], []
    (at,) = struct.unpack_from(number, content, start)
    while at:
        (n,) = struct.unpack_from(count, content, at)
        at += struct.calcsize(count)
        tags = {}
        for _ in range(n):
            tag, kind, length = struct.unpack_from(entry, content, at)
            tags[tag] = kind, length, at + struct.calcsize(entry)
            at += struct.calcsize(entry) + size
        shapes.append((_number(content, tags[_HEIGHT]), _number(content, tags[_WIDTH])))
        both = [_table(content, tags[tag], number) for tag in (_OFFSETS, _SIZES)]
        tables.append((both[0], both[1]))
        (at,) = struct.unpack_from(number, content, at)
    return Header(content, shapes, tables)


def _number(content: bytes, tag: tuple[int, int, int]) -> int:
    kind, _, at = tag
    return int(np.frombuffer(content, _TYPES[kind], 1, at)[0])


def _table(content: bytes, tag: tuple[int, int, int], number: str) -> _Table:
    kind, length, at = tag
    if np.dtype(_TYPES[kind]).itemsize * length > struct.calcsize(number):
        (at,) = struct.unpack_from(number, content, at)
    table = _Table(at, _TYPES[kind], length)
    if np.frombuffer(content, table.dtype, length, at).any():
        raise OSError("GDAL wrote a tile where there is none")
    return table
