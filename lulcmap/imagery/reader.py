"""Read scenes on a grid: the only place that opens remote pixels.

An asset that matches the grid's CRS, pixel size and alignment is read as it is; one of twice the
pixel size is doubled bilinearly; everything else is resampled pixel by pixel.
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
from lulcmap.imagery.assets.fetch import PATIENCE_S, Fetcher
from lulcmap.imagery.assets.http import FetchError
from lulcmap.sensors import S1_BANDS

_GRID_TOLERANCE_PX = 1e-3
"""Difference, in pixels, up to which two grids count as the same."""


class Reader:
    """Reads bands of scenes on any grid, with a pool of threads.

    Use it as a context manager; threads may share it.

    Args:
        workers: number of reader threads.
        sign: function that turns a scene's href into a URL to open, called before each request.
        private: whether to read from servers in a private network.
        patience: seconds to wait for a server that is busy or down.
        retries: further attempts after a failure.

    """

    def __init__(
        self,
        *,
        workers: int = 4,
        sign: Sign = unsigned,
        private: bool = True,
        patience: float = PATIENCE_S,
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
        """Stop reading and drop what is queued.

        Args:
            wait: whether to wait for the threads; a silent server holds one for a minute.

        """
        self._fetcher.close()
        self._pool.shutdown(wait=wait, cancel_futures=True)

    def read(self, scene: Scene, band: str, grid: GeoBox) -> NDArray[Any]:
        """Read one band of a scene on a grid.

        Args:
            scene: scene whose asset is an absolute local path or a URL.
            band: band of the scene: B02 ... B12, SCL, VV or VH.
            grid: north-up grid.

        Returns:
            (H, W), 0 where the scene has no data. Sentinel-2 bands uint16, DN with the offset still
            in; SCL uint8, nearest; VV and VH float32, linear gamma-nought, > 0.

        Raises:
            ReadError: the band cannot be read; the message names scene and band, never a URL.
            ProviderError: no token is available, or the server is down.

        """
        href = scene.assets.get(band)
        if href is None:
            raise ReadError(f"Scene {scene.id} has no {band}.")
        name = f"Scene {scene.id}: {band}"
        for attempt in range(self._retries + 1):
            try:
                if attempt and "://" in href:
                    self._fetcher.rest(attempt)
                return _read_plane(self._assets.open(href), band, grid)
            except _UnfitError as error:
                raise ReadError(f"{name} cannot be used: {error}.") from None
            except FetchError as error:
                raise ReadError(f"{name} could not be read: {error}.") from None
            except BrokenError as error:
                reason = str(error)  # broken bytes: another request may return good ones
                self._assets.forget(href)
        raise ReadError(f"{name} could not be read: {reason}.")

    def planes(
        self, requests: Sequence[tuple[Scene, str]], grid: GeoBox
    ) -> Generator[NDArray[Any] | ReadError, None, None]:
        """Read many bands on one grid, ahead of the caller.

        At most ``workers`` planes are being read or waiting, whatever the number of requests.
        Close the iterator to drop the rest.

        Args:
            requests: pairs of scene and band.
            grid: north-up grid.

        Yields:
            For each request, in order, what ``read`` returns or the error it raises.

        """
        waiting: deque[Future[NDArray[Any] | ReadError]] = deque()
        remaining = iter(requests)

        def submit_next() -> None:
            request = next(remaining, None)
            if request is not None:
                waiting.append(self._pool.submit(self._attempt, *request, grid))

        for _ in range(self._workers):
            submit_next()
        try:
            while waiting:
                plane = waiting.popleft().result()
                submit_next()
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
    """An asset opens but does not fit its band; retrying does not help."""


def _read_plane(asset: Asset, band: str, grid: GeoBox) -> NDArray[Any]:
    """Read (H, W) of an asset on a grid, 0 where it has no data."""
    dtype = np.dtype("float32" if band in S1_BANDS else "uint8" if band == "SCL" else "uint16")
    if asset.crs is None:
        raise _UnfitError("it has no CRS")
    if asset.dtype.kind != dtype.kind:
        raise _UnfitError(f"its pixels are {asset.dtype}, not {dtype}")
    alignment = _alignment(asset, grid)
    if alignment is None:
        plane = _read_warped(asset, dtype, grid)
    elif alignment[0] == 1:
        plane = _read_window(asset, *alignment[1:], grid.shape).astype(dtype, copy=False)
    elif dtype == np.uint16:
        plane = _read_doubled(asset, *alignment[1:], grid.shape)
    else:
        plane = _read_warped(asset, dtype, grid)
    _clear_invalid(plane)
    return plane


def _clear_invalid(pixels: NDArray[Any]) -> None:
    """Set backscatter to 0 where it is nodata, NaN or negative."""
    if pixels.dtype == np.float32:
        pixels[~(pixels > 0)] = 0


@lru_cache(maxsize=64)
def _crs(text: str) -> CRS:
    return CRS.from_user_input(text)


def _alignment(asset: Asset, grid: GeoBox) -> tuple[int, int, int] | None:
    """Return grid pixels per asset pixel (1 or 2) and the grid's first row and column.

    Row and column are in grid pixels from the asset's corner. None if the asset's pixels do not
    match the grid's, so that it must be warped.
    """
    if asset.crs != _crs(str(grid.crs)):
        return None
    height, width = grid.shape
    across = ~asset.transform * grid.affine  # from the grid's pixels to the asset's
    for scale in (1, 2):
        row, col = across.f * scale, across.c * scale
        drift = max(abs(across.a * scale - 1) * width, abs(across.e * scale - 1) * height)
        skew = max(abs(across.b), abs(across.d)) * max(height, width)
        off = max(abs(row - round(row)), abs(col - round(col)))
        if max(drift, skew, off) < _GRID_TOLERANCE_PX:
            return scale, round(row), round(col)
    return None


def _read_window(asset: Asset, row: int, col: int, shape: Sequence[int]) -> NDArray[Any]:
    """Read (H, W) of an asset's pixels from a row and a column, 0 outside the asset."""
    plane = np.zeros(tuple(shape), asset.dtype)
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + shape[0], asset.height), min(col + shape[1], asset.width)
    if top < bottom and left < right:
        inside = asset.read(top, left, bottom - top, right - left)
        if inside.shape == plane.shape:
            return inside
        plane[top - row : bottom - row, left - col : right - col] = inside
    return plane


def _read_doubled(asset: Asset, row: int, col: int, shape: Sequence[int]) -> NDArray[np.uint16]:
    """Read (H, W) of an asset of twice the pixel size; row and column in pixels of the grid."""
    top, left = row // 2 - 1, col // 2 - 1  # one more on each side, for the neighbours
    height = (row + shape[0] - 1) // 2 + 2 - top
    width = (col + shape[1] - 1) // 2 + 2 - left
    plane = np.zeros(tuple(shape), np.uint16)
    if top < asset.height and left < asset.width and top + height > 0 and left + width > 0:
        coarse = _read_window(asset, top, left, (height, width)).astype(np.uint16, copy=False)
        resample.double(coarse, row % 2, col % 2, plane)
    return plane


def _read_warped(asset: Asset, dtype: np.dtype[Any], grid: GeoBox) -> NDArray[Any]:
    """Read (H, W) resampled: bilinear, or nearest for classes; 0 outside the asset and in nodata.

    GDAL's own warp makes a pixel depend on the block it is read in: it interpolates coordinates
    within 1/8 pixel and fits its kernel to each block. With that disabled it is 50 times as slow.
    """
    plane = np.zeros(grid.shape, dtype)
    row, col, xs, ys = resample.transform_nodes(grid, asset.crs.to_wkt())
    across = ~asset.transform
    cols = across.a * xs + across.b * ys + across.c
    rows = across.d * xs + across.e * ys + across.f
    inside = np.isfinite(cols) & np.isfinite(rows)
    if not inside.any():
        return plane
    top, left = max(int(rows[inside].min()) - 2, -1), max(int(cols[inside].min()) - 2, -1)
    bottom = min(int(rows[inside].max()) + 3, asset.height + 1)
    right = min(int(cols[inside].max()) + 3, asset.width + 1)
    if bottom - top > 2 and right - left > 2:
        shape = (bottom - top, right - left)
        pixels = _read_window(asset, top, left, shape).astype(dtype, copy=False)
        _clear_invalid(pixels)
        is_bilinear = dtype != np.uint8
        resample.sample_pixels(pixels, rows - top, cols - left, (row, col), is_bilinear, plane)
    return plane
