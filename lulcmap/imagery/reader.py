"""Scenes to pixels on a grid: the only place that opens remote pixels.

A source on the grid's own CRS, pixel size and alignment is read as it is; one of twice the pixel
size is doubled bilinearly; everything else is resampled pixel by pixel.
"""

from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS

from lulcmap.catalog import Scene, Sign, unsigned
from lulcmap.errors import ReadError
from lulcmap.imagery import resample
from lulcmap.imagery.assets.asset import Asset, Assets, BrokenError
from lulcmap.imagery.assets.fetch import PATIENCE, Fetcher, FetchError
from lulcmap.sensors import S1_BANDS

_SAME = 1e-3
"""Pixels by which two grids may differ and count as one."""


class Reader:
    """Reads bands of scenes on any grid, with a pool of threads.

    Use it as a context manager; it may be shared by threads.

    Args:
        workers: threads that read at once.
        sign: from a scene's href to a URL that can be opened now, asked before each request.
        private: whether servers in a private network may be read from.
        patience: seconds to wait for a server that gives nothing.
        retries: further attempts after a failure.

    """

    def __init__(
        self,
        *,
        workers: int = 4,
        sign: Sign = unsigned,
        private: bool = True,
        patience: float = PATIENCE,
        retries: int = 3,
    ) -> None:
        self._workers = workers
        self._retries = retries
        self._fetcher = Fetcher(sign=sign, private=private, retries=retries, patience=patience)
        self._assets = Assets(self._fetcher)
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="read")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(wait=error is None)

    def close(self, *, wait: bool = True) -> None:
        """Drop what is not yet read.

        Args:
            wait: for the threads; a server that does not answer holds one for a minute.

        """
        self._fetcher.close()
        self._pool.shutdown(wait=wait, cancel_futures=True)

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
            ReadError: naming the scene and the band, never a URL.
            ProviderError: no token can be had, or the server is down.

        """
        href = scene.assets.get(band)
        if href is None:
            raise ReadError(f"Scene {scene.id} has no {band}.")
        name = f"Scene {scene.id}: {band}"
        for attempt in range(self._retries + 1):
            try:
                if attempt and "://" in href:
                    self._fetcher.rest(attempt)
                return _pixels(self._assets.open(href), band, grid)
            except _UnfitError as error:
                raise ReadError(f"{name} cannot be used: {error}.") from None
            except FetchError as error:
                raise ReadError(f"{name} could not be read: {error}.") from None
            except BrokenError as error:
                reason = str(error)  # broken bytes: perhaps others come the next time
                self._assets.forget(href)
        raise ReadError(f"{name} could not be read: {reason}.")

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


def _pixels(source: Asset, band: str, grid: GeoBox) -> NDArray[Any]:
    """(H, W) of a band on a grid, 0 where there is none."""
    dtype = np.dtype("float32" if band in S1_BANDS else "uint8" if band == "SCL" else "uint16")
    if source.crs is None:
        raise _UnfitError("it says nothing of its CRS")
    if source.dtype.kind != dtype.kind:
        raise _UnfitError(f"it holds {source.dtype}, not {dtype}")
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


def _place(source: Asset, grid: GeoBox) -> tuple[int, int, int] | None:
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


def _window(source: Asset, row: int, col: int, shape: Sequence[int]) -> NDArray[Any]:
    """(H, W) of the source's pixels from a row and a column, 0 outside of it."""
    plane = np.zeros(tuple(shape), source.dtype)
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + shape[0], source.height), min(col + shape[1], source.width)
    if top < bottom and left < right:
        inside = source.read(top, left, bottom - top, right - left)
        if inside.shape == plane.shape:
            return inside
        plane[top - row : bottom - row, left - col : right - col] = inside
    return plane


def _doubled(source: Asset, row: int, col: int, shape: Sequence[int]) -> NDArray[np.uint16]:
    """(H, W) of a source of twice the pixel size; row and column in pixels of the grid."""
    top, left = row // 2 - 1, col // 2 - 1  # one more on each side, for the neighbours
    height = (row + shape[0] - 1) // 2 + 2 - top
    width = (col + shape[1] - 1) // 2 + 2 - left
    plane = np.zeros(tuple(shape), np.uint16)
    if top < source.height and left < source.width and top + height > 0 and left + width > 0:
        coarse = _window(source, top, left, (height, width)).astype(np.uint16, copy=False)
        resample.double(coarse, row % 2, col % 2, plane)
    return plane


def _warped(source: Asset, dtype: np.dtype[Any], grid: GeoBox) -> NDArray[Any]:
    """(H, W) resampled: bilinear, or nearest for classes; 0 where no data or no source is.

    GDAL's own warp makes a pixel depend on the block it is read in, for it interpolates coordinates
    within 1/8 pixel and fits its kernel to each block; told not to, it is 50 times as slow.
    """
    plane = np.zeros(grid.shape, dtype)
    row, col, xs, ys = resample.nodes(grid, source.crs.to_wkt())
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
        resample.sample(pixels, rows - top, cols - left, (row, col), dtype != np.uint8, plane)
    return plane
