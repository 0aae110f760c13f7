"""An asset as pixels: its header is asked for once, of its tiles only those of a window.

A TIFF's tiles are fetched in a few ranges and decoded by GDAL from memory; a JPEG 2000 file is read
by GDAL through our own ranges. No other format is opened: a VRT would lead anywhere.
"""

import io
import threading
import uuid
from collections import OrderedDict, deque
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader, MemoryFile
from rasterio.transform import Affine
from rasterio.windows import Window

from lulcmap.errors import ProviderError
from lulcmap.imagery.assets import deflate as deflated
from lulcmap.imagery.assets import tiff
from lulcmap.imagery.assets.fetch import Fetcher, FetchError

GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # an asset stands alone: no listing of its folder
    "GDAL_PAM_ENABLED": "NO",  # nor a file beside it
    "GDAL_CACHEMAX": 128 * 2**20,  # bytes of decoded tiles; a window passes each but once
    "GDAL_NUM_THREADS": 1,  # with more, it gives zeros for tiles of JPEG 2000 that are broken
}
"""How GDAL decodes here; applied with ``rasterio.Env``, never through the environment."""

_HEADERS = 2048
"""Headers kept, so that neighbouring blocks do not ask for them again; 10 to 40 kB each."""

_AT_ONCE = 16 * 2**20
"""Compressed bytes of one asset that are decoded at once, while as many are on their way."""

_CHUNK = 2**20
"""Bytes asked for at once of a file that GDAL finds its own way through."""

_JPEG_2000 = b"\x00\x00\x00\x0cjP  "
"""What its files start with."""


class BrokenError(Exception):
    """An asset's bytes came, and cannot be decoded."""


@contextmanager
def _decoding() -> Iterator[None]:
    """GDAL, with our options; its errors become ours."""
    try:
        with rasterio.Env(**GDAL_OPTIONS):
            yield
    except (tiff.NotTiffError, deflated.InflateError) as error:
        raise BrokenError(str(error)) from error
    except (RasterioError, CPLE_BaseError) as error:
        said = " ".join(str(error.__cause__ or error).split())
        raise BrokenError(said.removesuffix(".") or type(error).__name__) from error


@dataclass(frozen=True, slots=True)
class _Header:
    """What an asset says of itself: kept, and small."""

    layout: tiff.Layout | None
    """Where its tiles are; None of a file that is no TIFF."""

    crs: CRS | None
    transform: Affine
    shape: tuple[int, int]
    dtype: np.dtype[Any]


class Assets:
    """Assets, their headers kept; shared by threads.

    Args:
        fetcher: gets their bytes.

    """

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher
        self._known: OrderedDict[str, _Header] = OrderedDict()  # the longest unused first
        self._crs: dict[tuple[tuple[int, int, bytes], ...], CRS | None] = {}
        self._lock = threading.Lock()

    def open(self, href: str) -> "Asset":
        """An asset, its header read.

        Args:
            href: absolute local path, or unsigned URL.

        Raises:
            BrokenError: it is no TIFF and no JPEG 2000 file, or a broken one.
            FetchError: its bytes cannot be had.
            ProviderError: no token can be had.

        """
        with self._lock:
            header = self._known.get(href)
            if header is not None:
                self._known.move_to_end(href)
        if header is None:
            with _decoding():
                header = self._header(href)
            with self._lock:
                self._known[href] = header
                if len(self._known) > _HEADERS:
                    self._known.popitem(last=False)
        return Asset(self._fetcher, href, header)

    def forget(self, href: str) -> None:
        """Ask for it again the next time."""
        with self._lock:
            self._known.pop(href, None)

    def _header(self, href: str) -> _Header:
        read = partial(self._fetcher.get, href, whole=False)
        head = read(0, tiff.HEAD)
        if head.startswith(_JPEG_2000):
            with _jpeg_2000(self._fetcher, href) as dataset:
                return _described(None, dataset, dataset.crs)
        layout = tiff.parse(lambda start, length: head if start == 0 else read(start, length))
        keys = layout.crs_keys
        with _opened(layout.header(crs=keys not in self._crs)) as dataset:
            crs = self._crs.setdefault(keys, dataset.crs)  # thousands of assets share a few
            return _described(layout, dataset, crs)


def _described(layout: tiff.Layout | None, dataset: DatasetReader, crs: CRS | None) -> _Header:
    return _Header(layout, crs, dataset.transform, dataset.shape, np.dtype(dataset.dtypes[0]))


@contextmanager
def _opened(body: bytes) -> Iterator[DatasetReader]:
    """A TIFF in memory; no other driver sees it, a VRT would lead anywhere."""
    with (
        MemoryFile(body, filename="asset.tif") as memory,  # GDAL's messages name it
        memory.open(driver="GTiff") as dataset,
    ):
        yield dataset


class Asset:
    """An asset whose pixels can be read.

    Attributes:
        crs: of its grid; None where it does not say.
        transform: from pixel (col, row) to units of ``crs``.
        height: rows.
        width: columns.
        dtype: of its pixels.

    """

    def __init__(self, fetcher: Fetcher, href: str, header: _Header) -> None:
        self._fetcher = fetcher
        self._href = href
        self._layout = header.layout
        self.crs: Any = header.crs
        self.transform = header.transform
        self.height, self.width = header.shape
        self.dtype = header.dtype

    def read(self, top: int, left: int, height: int, width: int) -> NDArray[Any]:
        """(height, width) of the first band.

        Args:
            top: first row.
            left: first column.
            height: rows; the window lies inside the image.
            width: columns.

        Raises:
            BrokenError: the bytes cannot be decoded.
            FetchError: they cannot be had.
            ProviderError: no token can be had.

        """
        pixels = np.empty((height, width), self.dtype)
        with _decoding():
            if self._layout is None:
                with _jpeg_2000(self._fetcher, self._href) as dataset:
                    dataset.read(1, window=Window(left, top, width, height), out=pixels)
            else:
                self._decode(self._layout, top, left, pixels)
        return pixels

    def _decode(self, layout: tiff.Layout, top: int, left: int, pixels: NDArray[Any]) -> None:
        """Fill an array from the tiles under it, a few rows of them at once."""
        (height, width), tile = pixels.shape, layout.tile
        rows = slice(top // tile[0], -(-(top + height) // tile[0]))
        cols = slice(left // tile[1], -(-(left + width) // tile[1]))
        for band, tiles in self._tiles(layout, rows, cols):
            row, col = band.start * tile[0] - top, cols.start * tile[1] - left
            if layout.deflate is None or not all(body for line in tiles for body in line):
                with _opened(layout.excerpt(band, cols, tiles)) as dataset:
                    first, last = max(row, 0), min(row + dataset.height, height)
                    window = Window(-col, first - row, width, last - first)
                    dataset.read(1, window=window, out=pixels[first:last])
                continue
            for i, line in enumerate(tiles):
                for j, body in enumerate(line):
                    at = row + i * tile[0], col + j * tile[1]
                    deflated.paste(body, pixels, at, tile=tile, predictor=layout.deflate)

    def _tiles(
        self, layout: tiff.Layout, rows: slice, cols: slice
    ) -> Iterator[tuple[slice, list[list[memoryview]]]]:
        """Rows of tiles and their bytes, the next ones on their way while some are decoded."""
        asked: deque[tuple[slice, list[tuple[int, int]], list[Future[bytes]]]] = deque()
        bands = _bands(layout, rows, cols)
        while True:
            band = next(bands, None)
            if band is not None:
                ranges = layout.ranges(band, cols)
                asked.append((band, ranges, self._fetcher.start(self._href, ranges)))
                if len(asked) < 2:
                    continue
            if not asked:
                return
            ready, ranges, bodies = asked.popleft()
            yield ready, layout.tiles(ready, cols, ranges, [body.result() for body in bodies])


def _bands(layout: tiff.Layout, rows: slice, cols: slice) -> Iterator[slice]:
    """Rows of tiles, as many together as are decoded at once."""
    first, size = rows.start, 0
    for row, more in enumerate(layout.sizes[rows, cols].sum(axis=1).tolist(), rows.start):
        if row > first and size + more > _AT_ONCE:
            yield slice(first, row)
            first, size = row, 0
        size += more
    yield slice(first, rows.stop)


@contextmanager
def _jpeg_2000(fetcher: Fetcher, href: str) -> Iterator[DatasetReader]:
    """A JPEG 2000 file: GDAL asks for what it needs, and gets it in chunks."""
    chunks = _Chunks(fetcher, href)

    def opener(*_: Any, **__: Any) -> io.RawIOBase:
        return _File(chunks)

    name = f"{uuid.uuid4()}/asset.jp2"  # rasterio keeps one opener a folder
    try:
        with rasterio.open(name, driver="JP2OpenJPEG", opener=opener) as dataset:
            yield dataset
    finally:
        if chunks.failure is not None:  # the reason of GDAL's error, or of its zeros
            raise chunks.failure


class _Chunks:
    """The bytes of an asset: asked for in chunks, each once."""

    def __init__(self, fetcher: Fetcher, href: str) -> None:
        self._get = partial(fetcher.get, href)
        self._chunks: dict[int, bytes] = {}
        self.size = fetcher.size(href)
        self.failure: Exception | None = None

    def part(self, start: int, end: int) -> bytes:
        """Some bytes; none after a failure, which must not pass through GDAL's C."""
        numbers = range(start // _CHUNK, -(-end // _CHUNK))
        try:
            body = b"".join(self._chunk(number) for number in numbers)
        except (FetchError, ProviderError) as error:
            self.failure = error
            return b""
        skip = start % _CHUNK
        return body[skip : skip + end - start]

    def _chunk(self, number: int) -> bytes:
        if number not in self._chunks:
            first = number * _CHUNK
            self._chunks[number] = self._get(first, min(_CHUNK, self.size - first))
        return self._chunks[number]


class _File(io.RawIOBase):
    """An asset as a file, as GDAL opens it several times."""

    def __init__(self, chunks: _Chunks) -> None:
        self._chunks = chunks
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go there."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._chunks.size}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes, or fewer where the file ends."""
        left = max(self._chunks.size - self._at, 0)
        body = self._chunks.part(self._at, self._at + (left if size < 0 else min(size, left)))
        self._at += len(body)
        return body
