"""Write the tiles of a COG while its pixels come, several threads compressing them.

A COG begins with its smallest overview, which is known last. So tiles go to a temporary file as
they are done, and from there to their places. The bytes are those that GDAL's COG driver writes, of
whatever number of threads.
"""

import hashlib
import struct
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import deflate
import numpy as np
from numpy.typing import NDArray

from lulcmap.output.cog_header import Header
from lulcmap.output.overviews import TILE_PX, Pyramid
from lulcmap.output.stream import Raster
from lulcmap.system import Threads, check_disk

_LEVEL = 7
"""Level of libdeflate that libtiff takes for its level 6, the default of GDAL."""

_LEADER = struct.Struct("<I")
"""What GDAL writes before a tile: its size. After it come its last bytes again."""

_TILES_PER_THREAD = 4
"""Tiles that wait for each thread."""


def write_tiles(
    raster: Raster, header: Header, part: Path, threads: Threads, *, resampling: str
) -> str:
    """Write a COG: header, overviews from the smallest, and tiles.

    Args:
        raster: its pixels.
        header: its beginning.
        part: path of the file to write.
        threads: threads that make and compress pieces.
        resampling: how overviews are made; see ``Pyramid``.

    Returns:
        SHA-256 of the file.

    Raises:
        OutputError: a piece cannot be made, or the disk is nearly full.
        OSError: the file cannot be written.

    """
    layout = raster.layout
    with _temporary(part) as file:
        spool = _Spool(file, header, int(layout["nodata"]), threads)
        pyramid = Pyramid(
            header.shapes,
            bands=layout["count"],
            dtype=layout["dtype"],
            nodata=int(layout["nodata"]),
            resampling=resampling,
            emit=spool.add,
            folder=part.parent,
        )
        for piece in raster.pieces(threads):
            if piece.col == 0:
                check_disk(part.parent, 0, "the map")
            pyramid.add(piece.row, piece.col, piece.values)
        spool.finish()
        check_disk(part.parent, file.tell(), "the map")
        with part.open("wb") as out:
            return spool.write(out)


@contextmanager
def _temporary(part: Path) -> Iterator[BinaryIO]:
    """A file beside another, for the body; after a kill it is removed with the other."""
    path = part.with_name(f"{part.name}.ovr.tmp")
    with path.open("wb+") as file:
        yield file
    path.unlink(missing_ok=True)


class _Spool:
    """Compressed tiles of all levels, in the order they were done."""

    def __init__(self, file: BinaryIO, header: Header, nodata: int, threads: Threads) -> None:
        self._file, self._header, self._nodata, self._threads = file, header, nodata, threads
        self._across = [-(-width // TILE_PX) for _, width in header.shapes]
        n_tiles = [
            -(-height // TILE_PX) * across
            for (height, _), across in zip(header.shapes, self._across, strict=True)
        ]
        self._places = [np.zeros(n, np.int64) for n in n_tiles]
        self._sizes = [np.zeros(n, np.int64) for n in n_tiles]
        self._checks = [np.zeros(n, np.uint32) for n in n_tiles]
        self._pending: deque[tuple[int, int, Future[bytes]]] = deque()

    def add(self, level: int, row: int, col: int, values: NDArray[Any]) -> None:
        """Have a tile compressed; one without a value takes no room."""
        if values[0, 0, 0] == self._nodata and (values == self._nodata).all():
            return
        number = row // TILE_PX * self._across[level] + col // TILE_PX
        # a copy, as the next strip overwrites the values of an overview
        self._pending.append((level, number, self._threads.submit(_compressed, values.copy())))
        if len(self._pending) > _TILES_PER_THREAD * self._threads.n:
            self._keep()

    def _keep(self) -> None:
        level, number, future = self._pending.popleft()
        content = future.result()
        self._places[level][number] = self._file.tell()
        self._sizes[level][number] = len(content)
        self._checks[level][number] = zlib.crc32(content)
        self._file.write(content)

    def finish(self) -> None:
        """Wait for the last tiles."""
        while self._pending:
            self._keep()
        self._file.flush()

    def write(self, out: BinaryIO) -> str:
        """Write the COG; return its SHA-256."""
        offsets, end = [], len(self._header.content)
        for sizes in reversed(self._sizes):
            room = np.where(sizes, sizes + 2 * _LEADER.size, 0)
            ends = end + np.cumsum(room)
            offsets.append(np.where(sizes, ends - room + _LEADER.size, 0))
            end = int(ends[-1])
        digest = hashlib.sha256()
        content = self._header.filled(offsets[::-1], self._sizes)
        digest.update(content)
        out.write(content)
        for level in reversed(range(len(self._sizes))):
            for number in np.flatnonzero(self._sizes[level]):
                tile = self._tile(level, int(number))
                content = b"".join([_LEADER.pack(len(tile)), tile, tile[-_LEADER.size :]])
                digest.update(content)
                out.write(content)
        return digest.hexdigest()

    def _tile(self, level: int, number: int) -> bytes:
        self._file.seek(self._places[level][number])
        content = self._file.read(self._sizes[level][number])
        if zlib.crc32(content) != self._checks[level][number]:
            raise OSError("some pixels did not arrive on disk")
        return content


def _compressed(values: NDArray[Any]) -> bytes:
    """The compressed tile of (B, h, w) values, by pixel; 0 beyond the raster."""
    bands, height, width = values.shape
    tile = np.moveaxis(values, 0, 2).astype(values.dtype.newbyteorder("<"), copy=False)
    if (height, width) != (TILE_PX, TILE_PX):
        tile, known = np.zeros((TILE_PX, TILE_PX, bands), tile.dtype), tile
        tile[:height, :width] = known
    content = tile.tobytes()
    compressed = bytes(deflate.zlib_compress(content, _LEVEL))
    if deflate.zlib_decompress(compressed, len(content)) != content:
        raise OSError("a tile does not hold the pixels it was made of")
    return compressed
