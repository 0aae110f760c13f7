"""Read pixels of an asset: fetch its header once, and only the tiles of the window.

The tiles of a TIFF are fetched in a few ranges and decoded here (DEFLATE) or by GDAL from memory; a
JPEG 2000 file is read by GDAL through our own ranges. No other format is opened: a VRT could point
to any file.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window

from lulcmap.imagery.assets import deflate, jpeg2000, tiff
from lulcmap.imagery.assets.checksum import fits
from lulcmap.imagery.assets.directory import NotTiffError
from lulcmap.imagery.assets.fetch import Fetcher
from lulcmap.imagery.assets.http import FetchError

_GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # do not list the asset's folder
    "GDAL_PAM_ENABLED": "NO",  # do not look for .aux.xml files
    "GDAL_CACHEMAX": 128 * 2**20,  # bytes of decoded tiles; a window needs each only once
    "GDAL_NUM_THREADS": 1,  # with more, broken JPEG 2000 tiles become zeros without an error
}
"""GDAL's options for decoding; applied with ``rasterio.Env``, never through the environment."""

_MAX_HEADERS = 2048
"""Headers kept, so that neighbouring blocks need not fetch them again; 10 to 40 kB each."""

_BATCH_BYTES = 16 * 2**20
"""Compressed bytes of one asset that are decoded together, while as many are being fetched."""

_JPEG_END = b"\xff\xd9"
"""Marker at the end of a JPEG stream; it occurs nowhere else in one."""


class BrokenError(Exception):
    """An asset's bytes were fetched but cannot be decoded."""


@contextmanager
def _gdal_errors() -> Iterator[None]:
    """Apply our GDAL options in the body; turn GDAL's errors into ``BrokenError``."""
    try:
        with rasterio.Env(**_GDAL_OPTIONS):
            yield
    except (NotTiffError, jpeg2000.BoxError, deflate.InflateError) as error:
        raise BrokenError(str(error)) from error
    except (RasterioError, CRSError, CPLE_BaseError) as error:
        message = " ".join(str(error.__cause__ or error).split())
        raise BrokenError(message.removesuffix(".") or type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class _Header:
    """What is kept of an asset's header."""

    layout: tiff.Layout | None
    """Layout of the TIFF's tiles; None if the file is JPEG 2000."""

    crs: CRS | None
    """CRS of the grid; None if the file has none."""

    transform: Affine
    """Transform from pixel (col, row) to units of ``crs``."""

    shape: tuple[int, int]
    """Rows and columns."""

    dtype: np.dtype[Any]
    """Data type of the pixels."""

    nodata: float | None
    """Value that the file declares as nodata."""


class Assets:
    """Opens assets and keeps their headers; threads may share it.

    Args:
        fetcher: fetcher of their bytes.

    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._headers: OrderedDict[str, _Header] = OrderedDict()  # least recently used first
        self._crs: dict[tuple[tuple[int, int, bytes], ...], CRS] = {}
        self._lock = threading.Lock()

    def open(self, href: str, checksum: str | None = None) -> "Asset":
        """Open an asset and read its header.

        Args:
            href: absolute local path, or unsigned URL.
            checksum: checksum of the file, as of the STAC file extension. It is checked where the
                whole file is at hand: of local files, and of remote ones as small as a header.

        Raises:
            BrokenError: the file is neither TIFF nor JPEG 2000, or is broken.
            FetchError: its bytes cannot be fetched.
            ProviderError: no token is available, or the server is down.

        """
        with self._lock:
            header = self._headers.get(href)
            if header is not None:
                self._headers.move_to_end(href)
        if header is None:
            with _gdal_errors():
                header = self._read_header(href, checksum)
            with self._lock:
                self._headers[href] = header
                if len(self._headers) > _MAX_HEADERS:
                    self._headers.popitem(last=False)
        return Asset(self._fetcher, href, header)

    def forget(self, href: str) -> None:
        """Forget an asset's header, so that the next ``open`` fetches it again."""
        self._fetcher.forget(href)
        with self._lock:
            self._headers.pop(href, None)

    def _read_header(self, href: str, checksum: str | None) -> _Header:
        read = partial(self._fetcher.get, href, whole=False)
        head = read(0, tiff.TIFF_HEADER_BYTES)
        if checksum is not None:
            _check_sum(href, head, checksum)
        if head.startswith(jpeg2000.SIGNATURE):
            chunks = jpeg2000.Chunks(self._fetcher, href)
            jpeg2000.check_boxes(chunks)
            with jpeg2000.open_dataset(chunks) as dataset:
                return _header_of(None, dataset, dataset.crs)
        layout = tiff.parse(lambda start, length: head if start == 0 else read(start, length))
        keys = layout.crs_keys
        with _open_tiff(layout.header(crs=keys not in self._crs)) as dataset:
            crs = self._crs.get(keys, dataset.crs)
            if crs is not None:  # it may be missing for another reason than its keys
                self._crs[keys] = crs  # thousands of assets share a few
            return _header_of(layout, dataset, crs)


def _check_sum(href: str, head: bytes, checksum: str) -> None:
    """Check a file against its checksum if it is local, or whole in its first bytes.

    Raises:
        BrokenError: it does not fit.
        FetchError: the file cannot be read.

    """
    is_local = "://" not in href
    if not is_local and len(head) == tiff.TIFF_HEADER_BYTES:
        return
    try:
        is_fitting = fits(Path(href) if is_local else head, checksum)
    except OSError as error:
        raise FetchError(error.strerror or type(error).__name__) from error
    if not is_fitting:
        raise BrokenError("its bytes do not fit the item's file:checksum")


def _header_of(layout: tiff.Layout | None, dataset: DatasetReader, crs: CRS | None) -> _Header:
    dtype = np.dtype(dataset.dtypes[0])
    return _Header(layout, crs, dataset.transform, dataset.shape, dtype, dataset.nodata)


@contextmanager
def _open_tiff(body: bytes) -> Iterator[DatasetReader]:
    """Open a TIFF in memory, by no other driver: a VRT could point to any file."""
    with (
        MemoryFile(body, filename="asset.tif") as memory,  # the name in GDAL's messages
        memory.open(driver="GTiff") as dataset,
    ):
        yield dataset


class Asset:
    """An open asset, ready to read.

    Attributes:
        crs: CRS of its grid; None if the file has none.
        transform: transform from pixel (col, row) to units of ``crs``.
        height: number of rows.
        width: number of columns.
        dtype: data type of its pixels.
        nodata: value that the file declares as nodata; None if it declares none.

    """

    def __init__(self, fetcher: Fetcher, href: str, header: _Header) -> None:
        self._fetcher = fetcher
        self._href = href
        self._layout = header.layout
        self.crs: Any = header.crs
        self.transform = header.transform
        self.height, self.width = header.shape
        self.dtype = header.dtype
        self.nodata = header.nodata

    def read(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """Read (height, width) pixels of the first band.

        Args:
            top: first row.
            left: first column.
            height: number of rows; the window must lie inside the image.
            width: number of columns.

        Raises:
            BrokenError: the bytes cannot be decoded.
            FetchError: the bytes cannot be fetched.
            ProviderError: no token is available, or the server is down.

        """
        pixels = np.empty((height, width), self.dtype)
        with _gdal_errors():
            if self._layout is None:
                with jpeg2000.open_dataset(jpeg2000.Chunks(self._fetcher, self._href)) as dataset:
                    dataset.read(1, window=Window(left, top, width, height), out=pixels)
            else:
                self._decode(self._layout, top, left, pixels)
        return pixels

    def _decode(self, layout: tiff.Layout, top: int, left: int, pixels: NDArray[Any]) -> None:
        """Fill an array from the tiles under it, a few rows of tiles at once."""
        (height, width), tile = pixels.shape, layout.tile
        rows = slice(top // tile[0], -(-(top + height) // tile[0]))
        cols = slice(left // tile[1], -(-(left + width) // tile[1]))
        for batch, tiles in self._tiles(layout, rows, cols):
            row, col = batch.start * tile[0] - top, cols.start * tile[1] - left
            if layout.deflate is None or not all(body for line in tiles for body in line):
                _check_streams(layout, tiles)
                with _open_tiff(layout.excerpt(batch, cols, tiles)) as dataset:
                    first, last = max(row, 0), min(row + dataset.height, height)
                    window = Window(-col, first - row, width, last - first)
                    dataset.read(1, window=window, out=pixels[first:last])
                continue
            for i, line in enumerate(tiles):
                size = layout.rows_of(batch.start + i), tile[1]
                for j, body in enumerate(line):
                    at = row + i * tile[0], col + j * tile[1]
                    deflate.paste_tile(body, pixels, at, tile=size, predictor=layout.deflate)

    def _tiles(
        self, layout: tiff.Layout, rows: slice, cols: slice
    ) -> Iterator[tuple[slice, list[list[memoryview]]]]:
        """Yield rows of tiles and their bytes; the next ones are fetched while some are decoded."""
        pending: deque[tuple[slice, list[tuple[int, int]], list[Future[bytes]]]] = deque()
        batches = _batches(layout, rows, cols)
        while True:
            batch = next(batches, None)
            if batch is not None:
                ranges = layout.ranges(batch, cols)
                pending.append((batch, ranges, self._fetcher.start(self._href, ranges)))
                if len(pending) < 2:
                    continue
            if not pending:
                return
            ready, ranges, bodies = pending.popleft()
            yield ready, layout.tiles(ready, cols, ranges, [body.result() for body in bodies])


def _check_streams(layout: tiff.Layout, tiles: list[list[memoryview]]) -> None:
    """Check tiles that GDAL is about to decode, where it takes what it gets of a broken one."""
    for body in (body for line in tiles for body in line if body):
        if layout.compression in tiff.DEFLATE:
            deflate.check_stream(body, fill_order=layout.fill_order)
        elif layout.compression == tiff.JPEG and _JPEG_END not in bytes(body):
            raise BrokenError("a JPEG tile is cut short")


def _batches(layout: tiff.Layout, rows: slice, cols: slice) -> Iterator[slice]:
    """Split rows of tiles into batches of at most ``_BATCH_BYTES``, at least one row each."""
    first, size = rows.start, 0
    for row, row_size in enumerate(layout.sizes[rows, cols].sum(axis=1).tolist(), rows.start):
        if row > first and size + row_size > _BATCH_BYTES:
            yield slice(first, row)
            first, size = row, 0
        size += row_size
    yield slice(first, rows.stop)
