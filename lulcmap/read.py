"""Scenes to pixels on a grid: the only place that opens remote pixels.

A source on the grid's own CRS, pixel size and alignment is read as it is; one of twice the pixel
size is doubled bilinearly; everything else is resampled pixel by pixel.
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
from pyproj import Transformer
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window

from lulcmap.compiled import compiled
from lulcmap.errors import ReadError
from lulcmap.scenes import Scene
from lulcmap.sensors import S1_BANDS

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
    "GDAL_CACHEMAX": 128 * 2**20,  # bytes of decoded tiles; a window passes each but once
}
"""How GDAL reads here; applied with ``rasterio.Env``, never through the environment."""

_OPEN_FILES = 128
"""Datasets kept open between reads, so that neighbouring blocks do not fetch headers again."""

_PAUSE = 0.5
"""Seconds before the first retry of a remote asset; doubled each time."""

_STEP = 8
"""Pixels between the nodes at which coordinates are transformed; a power of two, so that fractions
are exact and no pixel depends on the grid it is read in."""

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
    _drop(plane)
    return plane


def _drop(pixels: NDArray[Any]) -> None:
    """Set backscatter to 0 where it is nodata, NaN, or what no radar measures."""
    if pixels.dtype == np.float32:
        pixels[~(pixels > 0)] = 0


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
    n = coarse.shape[1]
    tall = np.empty(n, np.uint32)
    fine = np.zeros(2 * n, np.uint16)
    three, eight, four = np.uint32(3), np.uint32(8), np.uint32(4)
    for y in range(height):
        i = 1 + (y + odd_row) // 2
        own, near = coarse[i], coarse[i + 1 if (y + odd_row) % 2 else i - 1]
        gaps = 0
        for x in range(n):
            tall[x] = three * np.uint32(own[x]) + np.uint32(near[x])
            gaps += (own[x] == 0) | (near[x] == 0)
        for x in range(1, n - 1):
            fine[2 * x] = (three * tall[x] + tall[x - 1] + eight) >> four
            fine[2 * x + 1] = (three * tall[x] + tall[x + 1] + eight) >> four
        if gaps:
            _mend(own, near, fine)
        out[y] = fine[2 + odd_col : 2 + odd_col + width]


@compiled
def _mend(own: NDArray[np.uint16], near: NDArray[np.uint16], fine: NDArray[np.uint16]) -> None:
    """Work out again, without the samples of 0, the pixels of a doubled row that touch any.

    Args:
        own: (w,) the row of samples the pixels lie in.
        near: (w,) the row next to it.
        fine: (2 w,) written, but for the first and last two.

    """
    for x in range(1, own.shape[0] - 1):
        for half in range(2):
            side = x + 2 * half - 1
            a, b, c, d = int(own[x]), int(own[side]), int(near[x]), int(near[side])
            if a == 0:
                fine[2 * x + half] = 0
            elif b == 0 or c == 0 or d == 0:
                weight = 9 + 3 * (b != 0) + 3 * (c != 0) + (d != 0)
                total = 9 * a + 3 * b + 3 * c + d
                fine[2 * x + half] = (2 * total + weight) // (2 * weight)


def _warped(source: DatasetReader, dtype: np.dtype[Any], grid: GeoBox) -> NDArray[Any]:
    """(H, W) resampled: bilinear, or nearest for classes; 0 where no data or no source is.

    GDAL's own warp makes a pixel depend on the block it is read in, for it interpolates coordinates
    within 1/8 pixel and fits its kernel to each block; told not to, it is 50 times as slow.
    """
    plane = np.zeros(grid.shape, dtype)
    row, col, xs, ys = _nodes(grid, source.crs.to_wkt())
    across = ~source.transform
    cols = across.a * xs + across.b * ys + across.c
    rows = across.d * xs + across.e * ys + across.f
    inside = np.isfinite(cols) & np.isfinite(rows)
    if not inside.any():
        return plane
    top, left = max(int(rows[inside].min()) - 2, -1), max(int(cols[inside].min()) - 2, -1)
    bottom = min(int(rows[inside].max()) + 3, source.height + 1)
    right = min(int(cols[inside].max()) + 3, source.width + 1)
    if bottom - top > 2 and right - left > 2:
        pixels = _window(source, top, left, (bottom - top, right - left)).astype(dtype, copy=False)
        _drop(pixels)
        _sample(pixels, rows - top, cols - left, (row, col), dtype != np.uint8, plane)
    return plane


@lru_cache(maxsize=8)
def _nodes(grid: GeoBox, crs: str) -> tuple[float, float, NDArray[Any], NDArray[Any]]:
    """Where every eighth pixel of a grid lies in another CRS.

    Between the nodes coordinates are interpolated: in UTM a cell of 80 m bends by less than 1e-4 m.
    The nodes lie at multiples of their distance from the CRS's origin, whatever the grid.

    Args:
        grid: north-up.
        crs: of the source, as WKT.

    Returns:
        Row and column of the grid's corner, in pixels from the first node; (h, w) x and y of the
        nodes, in units of ``crs``, infinite where it does not reach.

    """
    row, col = grid.affine.f / grid.affine.e, grid.affine.c / grid.affine.a
    top, left = math.floor(row / _STEP), math.floor(col / _STEP)
    down = np.arange(top, math.floor((row + grid.shape[0]) / _STEP) + 2) * _STEP
    along = np.arange(left, math.floor((col + grid.shape[1]) / _STEP) + 2) * _STEP
    x, y = np.meshgrid(along * grid.affine.a, down * grid.affine.e)
    to_source = Transformer.from_crs(str(grid.crs), crs, always_xy=True)
    xs, ys = to_source.transform(x, y)
    return row - top * _STEP, col - left * _STEP, xs, ys


@compiled
def _sample(
    pixels: NDArray[Any],
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
    start: tuple[float, float],
    mix: bool,
    out: NDArray[Any],
) -> None:
    """Take each pixel of a grid from a source: its own sample, or a mean of the four nearest.

    As GDAL's warp: samples of 0 count for nothing, a pixel whose own sample is 0 stays 0, and
    integers are rounded, halves up.

    Args:
        pixels: (h, w) of the source, with a margin of one.
        rows: (n, m) row in ``pixels`` of every node.
        cols: (n, m) column likewise.
        start: row and column of the corner of ``out``, in its pixels from the first node.
        mix: whether samples may be mixed (bilinear).
        out: (H, W) written where there is a sample.

    """
    height, width = pixels.shape
    half = 0.5 if out.dtype.itemsize < 4 else 0.0
    for y in range(out.shape[0]):
        down = (start[0] + y + 0.5) / _STEP
        i, t = int(down), down - int(down)
        for x in range(out.shape[1]):
            along = (start[1] + x + 0.5) / _STEP
            j, s = int(along), along - int(along)
            row = (1 - t) * ((1 - s) * rows[i, j] + s * rows[i, j + 1])
            row += t * ((1 - s) * rows[i + 1, j] + s * rows[i + 1, j + 1])
            col = (1 - t) * ((1 - s) * cols[i, j] + s * cols[i, j + 1])
            col += t * ((1 - s) * cols[i + 1, j] + s * cols[i + 1, j + 1])
            if not (1 <= row < height - 1 and 1 <= col < width - 1):  # also where it is NaN
                continue
            own = pixels[int(row), int(col)]
            if own == 0 or not mix:
                out[y, x] = own
                continue
            r, c = int(row - 0.5), int(col - 0.5)
            v, u = row - 0.5 - r, col - 0.5 - c
            total, weight = 0.0, 0.0
            for k, w in ((0, 1 - v), (1, v)):
                for m, z in ((0, 1 - u), (1, u)):
                    value = pixels[r + k, c + m]
                    if value != 0:
                        total += w * z * value
                        weight += w * z
            out[y, x] = total / weight + half
