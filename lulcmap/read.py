"""Scenes to pixels on a grid: the only place that opens remote pixels.

A source on the grid's own CRS, pixel size and alignment is read as it is; one of twice the pixel
size is doubled bilinearly; everything else is warped, which costs 15 times as much and more.
"""

import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from lulcmap.compiled import compiled
from lulcmap.errors import ReadError
from lulcmap.scenes import Scene
from lulcmap.sensors import S1_BANDS, S1_NODATA, S2_NODATA

GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # an asset stands alone: no listing of its folder
    "GDAL_INGESTED_BYTES_AT_OPEN": 32768,  # a COG's header in one request
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",  # a row of tiles in one request
    "GDAL_HTTP_MULTIPLEX": "YES",  # with the next: many requests over one connection
    "GDAL_HTTP_VERSION": "2",
    "GDAL_HTTP_CONNECTTIMEOUT": 20,  # seconds; without it a dead host hangs a worker for ever
    "GDAL_HTTP_TIMEOUT": 120,  # seconds a request
    "GDAL_HTTP_MAX_RETRY": 3,  # of 429, 502, 503 and 504
    "GDAL_HTTP_RETRY_DELAY": 1,  # seconds, doubled each time
    "GDAL_CACHEMAX": 256 * 2**20,  # bytes of decoded tiles, for windows that share them
}
"""How GDAL reads here; applied with ``rasterio.Env``, never through the environment."""

_OPEN_FILES = 128
"""Datasets kept open between reads, so that neighbouring blocks do not fetch headers again."""

_PAUSE = 0.5
"""Seconds before the first retry of a remote asset; doubled each time."""

_EXACT = 1e-9
"""Pixels of error allowed when the warp interpolates coordinates. The default, 0.125, makes a pixel
depend on which block it is read in; rasterio 1.4 does not accept 0."""

_SAME = 1e-3
"""Pixels by which two grids may differ and count as one."""


class Reader:
    """Reads bands of scenes on any grid, with a pool of threads.

    Use it as a context manager; it may be shared by threads.

    Args:
        workers: threads that read at once.
        sign: from a scene's href to one that can be opened now, called right before opening.
        retries: further attempts after a failure; each signs and opens the asset again.

    """

    def __init__(
        self, *, workers: int = 4, sign: Callable[[str], str] | None = None, retries: int = 2
    ) -> None:
        self._workers = workers
        self._retries = retries
        self._datasets = _Datasets(sign)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what is not yet read, wait for the threads, close the files."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._datasets.close()

    def read(self, scene: Scene, band: str, grid: GeoBox) -> NDArray[Any]:
        """One band of a scene on a grid.

        Args:
            scene: its asset is an absolute local path or a URL.
            band: of the scene: B02 ... B12, SCL, VV or VH.
            grid: north-up.

        Returns:
            (H, W), 0 where the scene has no data. Sentinel-2 bands uint16, DN with the offset still
            in; SCL uint8, nearest; VV and VH float32, linear gamma-nought, > 0.

        Raises:
            ReadError: naming the scene and the band, never a signed URL.

        """
        href = scene.assets.get(band)
        if href is None:
            raise ReadError(f"Scene {scene.id} has no {band}.")
        local = "://" not in href
        if local and not Path(href).is_file():
            raise ReadError(f"Scene {scene.id}: {band} is missing: there is no file {href}.")
        for attempt in range(self._retries + 1):
            if attempt and not local:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            try:
                with rasterio.Env(**GDAL_OPTIONS), self._datasets.lend(href) as source:
                    return _pixels(source, band, grid)
            except _UnfitError as error:
                raise ReadError(f"Scene {scene.id}: {band} cannot be used: {error}.") from None
            except (RasterioError, CPLE_BaseError, OSError) as error:
                reason = _plain(error)
        raise ReadError(f"Scene {scene.id}: {band} could not be read: {reason}")

    def planes(
        self, requests: Sequence[tuple[Scene, str]], grid: GeoBox
    ) -> Generator[NDArray[Any] | ReadError, None, None]:
        """Many bands on one grid, read ahead by the pool.

        At most as many planes as there are workers wait or are being read, whatever the number of
        requests. Closing the iterator drops the rest.

        Args:
            requests: scenes and bands.
            grid: north-up.

        Yields:
            For each request, in order: what ``read`` returns, or the error it raised.

        """
        waiting: deque[Future[NDArray[Any] | ReadError]] = deque()
        rest = iter(requests)

        def ask() -> None:
            request = next(rest, None)
            if request is not None:
                waiting.append(self._pool.submit(self._attempt, *request, grid))

        for _ in range(self._workers):
            ask()
        try:
            while waiting:
                plane = waiting.popleft().result()
                ask()
                yield plane
        finally:
            for future in waiting:
                future.cancel()

    def _attempt(self, scene: Scene, band: str, grid: GeoBox) -> NDArray[Any] | ReadError:
        try:
            return self.read(scene, band, grid)
        except ReadError as error:
            return error


class _UnfitError(Exception):
    """A file that opens but is not what its band must be; no retry will help."""


class _Datasets:
    """Open datasets. GDAL's are not thread-safe, so each is lent to one thread at a time."""

    def __init__(self, sign: Callable[[str], str] | None) -> None:
        self._sign = sign
        self._idle: deque[tuple[str, DatasetReader]] = deque()  # the longest idle first
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, href: str) -> Iterator[DatasetReader]:
        """A dataset of an unsigned href; closed, with its idle copies, where the body fails."""
        dataset = self._take(href)
        if dataset is None:
            dataset = rasterio.open(href if self._sign is None else self._sign(href))
        try:
            yield dataset
        except BaseException:
            while dataset is not None:  # a token may have expired for all of them
                dataset.close()
                dataset = self._take(href)
            raise
        with self._lock:
            self._idle.append((href, dataset))
            oldest = self._idle.popleft()[1] if len(self._idle) > _OPEN_FILES else None
        if oldest is not None:
            oldest.close()

    def _take(self, href: str) -> DatasetReader | None:
        with self._lock:
            for index in range(len(self._idle)):
                if self._idle[index][0] == href:
                    dataset = self._idle[index][1]
                    del self._idle[index]
                    return dataset
        return None

    def close(self) -> None:
        """Close all that are idle."""
        with self._lock:
            while self._idle:
                self._idle.pop()[1].close()


def _plain(error: BaseException) -> str:
    """What GDAL said first, on one line, without the query of any URL: it may hold a token."""
    said = str(error.__cause__ or error)
    return re.sub(r"\?\S*", "", " ".join(said.split())) or type(error).__name__


def _pixels(source: DatasetReader, band: str, grid: GeoBox) -> NDArray[Any]:
    """(H, W) of a band on a grid, 0 where there is none."""
    dtype = np.dtype("float32" if band in S1_BANDS else "uint8" if band == "SCL" else "uint16")
    if source.crs is None:
        raise _UnfitError("it says nothing of its CRS")
    if np.dtype(source.dtypes[0]).kind != dtype.kind:
        raise _UnfitError(f"it holds {source.dtypes[0]}, not {dtype}")
    place = _place(source, grid)
    if place is None:
        plane = _warped(source, dtype, grid)
    elif place[0] == 1:
        plane = _window(source, place[1], place[2], grid.shape).astype(dtype, copy=False)
    elif dtype == np.uint16:
        plane = _doubled(source, place[1], place[2], grid.shape)
    else:
        plane = _warped(source, dtype, grid)
    if dtype == np.float32:
        plane[~(plane > 0)] = 0  # nodata, NaN, and what no radar measures
    return plane


@lru_cache(maxsize=64)
def _crs(text: str) -> CRS:
    return CRS.from_user_input(text)


def _place(source: DatasetReader, grid: GeoBox) -> tuple[int, int, int] | None:
    """Where a grid lies on its source: grid pixels a source pixel (1 or 2), first row and column.

    Row and column are counted in grid pixels from the source's corner. None where the source's
    pixels are others, so that it must be warped.
    """
    if source.crs != _crs(str(grid.crs)):
        return None
    height, width = grid.shape
    across = ~source.transform * grid.affine  # from the grid's pixels to the source's
    for scale in (1, 2):
        row, col = across.f * scale, across.c * scale
        drift = max(abs(across.a * scale - 1) * width, abs(across.e * scale - 1) * height)
        skew = max(abs(across.b), abs(across.d)) * max(height, width)
        off = max(abs(row - round(row)), abs(col - round(col)))
        if max(drift, skew, off) < _SAME:
            return scale, round(row), round(col)
    return None


def _window(source: DatasetReader, row: int, col: int, shape: Sequence[int]) -> NDArray[Any]:
    """(H, W) of the source's pixels from a row and a column, 0 outside of it."""
    plane = np.zeros(tuple(shape), source.dtypes[0])
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + shape[0], source.height), min(col + shape[1], source.width)
    if top < bottom and left < right:
        inside = source.read(1, window=Window(left, top, right - left, bottom - top))
        if inside.shape == plane.shape:
            return inside
        plane[top - row : bottom - row, left - col : right - col] = inside
    return plane


def _doubled(source: DatasetReader, row: int, col: int, shape: Sequence[int]) -> NDArray[np.uint16]:
    """(H, W) of a source of twice the pixel size; row and column in pixels of the grid."""
    top, left = row // 2 - 1, col // 2 - 1  # one more on each side, for the neighbours
    height = (row + shape[0] - 1) // 2 + 2 - top
    width = (col + shape[1] - 1) // 2 + 2 - left
    plane = np.zeros(tuple(shape), np.uint16)
    if top < source.height and left < source.width and top + height > 0 and left + width > 0:
        coarse = _window(source, top, left, (height, width)).astype(np.uint16, copy=False)
        _double(coarse, row % 2, col % 2, plane)
    return plane


@compiled
def _double(
    coarse: NDArray[np.uint16], odd_row: int, odd_col: int, out: NDArray[np.uint16]
) -> None:
    """Bilinear to half the pixel size: the weights are 9, 3, 3 and 1 sixteenths; halves go up.

    Samples of 0 count for nothing, and a pixel whose own sample is 0 stays 0: what GDAL's bilinear
    warp does with nodata.

    Args:
        coarse: (h, w) with one sample more on each side than ``out`` lies in.
        odd_row: 1 if the first row of ``out`` is the lower half of its samples, else 0.
        odd_col: 1 if the first column is the right half, else 0.
        out: (H, W), written.

    """
    height, width = out.shape
    for y in range(height):
        own = coarse[1 + (y + odd_row) // 2]
        near = coarse[1 + (y + odd_row) // 2 + (1 if (y + odd_row) % 2 else -1)]
        for x in range(width):
            i = 1 + (x + odd_col) // 2
            j = i + (1 if (x + odd_col) % 2 else -1)
            a, b, c, d = np.int32(own[i]), np.int32(own[j]), np.int32(near[i]), np.int32(near[j])
            total = 9 * a + 3 * b + 3 * c + d
            if a == 0:
                out[y, x] = 0
            elif b != 0 and c != 0 and d != 0:
                out[y, x] = (total + 8) >> 4
            else:
                weight = 9 + 3 * (b != 0) + 3 * (c != 0) + (d != 0)
                out[y, x] = (2 * total + weight) // (2 * weight)


def _warped(source: DatasetReader, dtype: np.dtype[Any], grid: GeoBox) -> NDArray[Any]:
    """(H, W) resampled: bilinear, or nearest for classes; 0 where no data or no source is."""
    crs = _crs(str(grid.crs))
    if not _overlap(source, crs, grid):
        return np.zeros(grid.shape, dtype)
    radar = dtype == np.float32
    nodata = S1_NODATA if radar else S2_NODATA
    with WarpedVRT(
        source,
        crs=crs,
        transform=grid.affine,
        height=grid.height,
        width=grid.width,
        resampling=Resampling.nearest if dtype == np.uint8 else Resampling.bilinear,
        src_nodata=source.nodata if radar and source.nodata is not None else nodata,
        nodata=nodata,
        tolerance=_EXACT,
        XSCALE=1,  # else GDAL widens the kernel by what it measures on each block:
        YSCALE=1,  # pixels would depend on how the map is cut
    ) as warped:
        return warped.read(1).astype(dtype, copy=False)


def _overlap(source: DatasetReader, crs: CRS, grid: GeoBox) -> bool:
    """Whether a source may have a pixel on the grid; generous by a pixel."""
    box = grid.extent.boundingbox
    margin = abs(grid.affine.a) + abs(grid.affine.e)
    try:
        left, bottom, right, top = transform_bounds(source.crs, crs, *source.bounds)
    except RasterioError:  # it reaches where the grid's CRS does not: let the warp find out
        return True
    if not all(map(math.isfinite, (left, bottom, right, top))):
        return True
    return bool(
        left - margin < box.right
        and right + margin > box.left
        and bottom - margin < box.top
        and top + margin > box.bottom
    )
