"""Read a JPEG 2000 file with GDAL, through our own ranges: GDAL navigates it by itself."""

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import rasterio
from rasterio.io import DatasetReader

from lulcmap.errors import ProviderError
from lulcmap.imagery.assets.fetch import Fetcher
from lulcmap.imagery.assets.http import FetchError

_CHUNK_BYTES = 2**20
"""Bytes fetched at once of a file that GDAL navigates by itself."""

SIGNATURE = b"\x00\x00\x00\x0cjP  "
"""First bytes of a JPEG 2000 file (JP2 signature box)."""


_MAX_BOXES = 64
"""Most boxes of a JPEG 2000 file; Sentinel-2's have about six."""


class BoxError(ValueError):
    """The file is not as long as its boxes."""


class Chunks:
    """The bytes of an asset, fetched in chunks, each once."""

    def __init__(self, fetcher: Fetcher, href: str) -> None:
        self._get = partial(fetcher.get, href)
        self._chunks: dict[int, bytes] = {}
        self.size = fetcher.size(href)
        self.failure: Exception | None = None

    def part(self, start: int, end: int) -> bytes:
        """Return a range of bytes; none after a failure, which must not pass through GDAL's C."""
        numbers = range(start // _CHUNK_BYTES, -(-end // _CHUNK_BYTES))
        try:
            body = b"".join(self._chunk(number) for number in numbers)
        except (FetchError, ProviderError) as error:
            self.failure = error
            return b""
        skip = start % _CHUNK_BYTES
        return body[skip : skip + end - start]

    def _chunk(self, number: int) -> bytes:
        if number not in self._chunks:
            first = number * _CHUNK_BYTES
            self._chunks[number] = self._get(first, min(_CHUNK_BYTES, self.size - first))
        return self._chunks[number]


class _File(io.RawIOBase):
    """An asset as a file; GDAL opens it several times."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position of the next byte to read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a position and return it."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._chunks.size}[whence]
        self._at = start + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Read ``size`` bytes, or fewer at the end of the file; all that is left if negative."""
        left = max(self._chunks.size - self._at, 0)
        body = self._chunks.part(self._at, self._at + (left if size < 0 else min(size, left)))
        self._at += len(body)
        return body


def check_boxes(chunks: Chunks) -> None:
    """Check that a JPEG 2000 file is as long as its boxes say; GDAL does not see added bytes.

    Source: ISO/IEC 15444-1, annex I.4: four bytes of length, four of type, and eight more of length
    if the first is 1; a length of 0 reaches to the end of the file.

    Raises:
        BoxError: it is not.

    """
    at = 0
    for _ in range(_MAX_BOXES):
        head = chunks.part(at, min(at + 16, chunks.size))
        if chunks.failure is not None:
            raise chunks.failure
        length = int.from_bytes(head[:4])
        if length == 1:
            length = int.from_bytes(head[8:16])
        if length == 0 and len(head) >= 8:
            return
        at += length
        if at == chunks.size:
            return
        if length < 8 or at > chunks.size:
            break
    raise BoxError(f"its {chunks.size} bytes are not those of its JPEG 2000 boxes")


@contextmanager
def open_dataset(chunks: Chunks) -> Iterator[DatasetReader]:
    """Open a JPEG 2000 file; GDAL reads what it needs, in chunks."""

    def opener(*_: Any, **__: Any) -> io.RawIOBase:
        return _File(chunks)

    name = f"{uuid.uuid4()}/asset.jp2"  # rasterio keeps one opener per folder
    try:
        with rasterio.open(name, driver="JP2OpenJPEG", opener=opener) as dataset:
            yield dataset
    finally:
        if chunks.failure is not None:  # the reason of GDAL's error, or of its zeros
            raise chunks.failure
