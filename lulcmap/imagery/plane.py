"""Read one band of an asset on a grid.

An asset that matches the grid's CRS, pixel size and alignment is read as it is; one of twice the
pixel size is doubled bilinearly; everything else is resampled pixel by pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import isfinite, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.errors import CRSError

from lulcmap.imagery import resample, validity
from lulcmap.imagery.assets.asset import Asset
from lulcmap.imagery.resample import CoarsePlane
from lulcmap.sensors import S1_BANDS

_GRID_TOLERANCE_PX = 1e-3
"""Difference, in pixels, up to which two grids count as the same."""

_FARTHEST, _FARTHEST_DEGREES = 1e9, 1e3
"""Largest number in a transform of a place on the earth, in units of a projection or degrees."""

_MAX_DENSITY = 25
"""Most pixels of an asset under one of the grid. In degrees, 10 m at the equator are 2 m in
Svalbard; what is finer is another product, and one pixel in hundreds would be used of it."""

_MAX_WARP_PIXELS = 64 * 2**20
"""Most pixels of an asset that are in memory to be resampled; more are read in parts."""


class UnfitError(Exception):
    """An asset opens but does not fit its band; retrying does not help."""


def read_plane(asset: Asset, band: str, grid: GeoBox, offset: int) -> NDArray[Any] | CoarsePlane:
    """Read one band of a scene from its asset, on a grid.

    Args:
        asset: asset of the band.
        band: band of the scene: B02 ... B12, SCL, VV or VH.
        grid: north-up grid.
        offset: DN that the scene has too much, 0 for Sentinel-1.

    Returns:
        (H, W) as ``Reader.read`` returns it, or what is to be doubled for it.

    Raises:
        UnfitError: the asset does not fit the band.
        BrokenError, FetchError, ProviderError: as ``Asset.read``.

    """
    dtype = np.dtype("float32" if band in S1_BANDS else "uint8" if band == "SCL" else "uint16")
    _check_place(asset)
    if asset.dtype.kind != dtype.kind:
        raise UnfitError(f"its pixels are {asset.dtype}, not {dtype}")
    source = _Source(asset, dtype, offset)
    alignment = _alignment(asset, grid)
    if alignment is None:
        return _read_warped(source, grid)
    if alignment[0] == 1:
        return source.window(*alignment[1:], grid.shape)
    if dtype == np.uint16:
        return _read_coarse(source, *alignment[1:], grid.shape)
    return _read_warped(source, grid)


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


def _check_place(asset: Asset) -> None:
    """Check that an asset lies somewhere on the earth.

    Raises:
        UnfitError: its CRS or its transform cannot be used.

    """
    place = asset.transform
    if place.is_identity:
        raise UnfitError("it is not georeferenced")
    if asset.crs is None:
        raise UnfitError("it has no CRS")
    if not (asset.crs.is_projected or asset.crs.is_geographic):
        raise UnfitError("its CRS is neither projected nor geographic")
    farthest = _FARTHEST_DEGREES if asset.crs.is_geographic else _FARTHEST
    if not all(isfinite(number) and abs(number) < farthest for number in place[:6]):
        raise UnfitError("its georeferencing is no place on the earth")
    area = abs(place.determinant)
    if area == 0 or not isfinite(1 / area):
        raise UnfitError("its pixels have no size")


@dataclass(frozen=True, slots=True)
class _Source:
    """An asset, read as the data type of its band and without what cannot be a measurement."""

    asset: Asset
    """The asset."""

    dtype: np.dtype[Any]
    """Data type of the band."""

    offset: int
    """DN that its scene has too much, 0 for Sentinel-1."""

    def window(self, row: int, col: int, shape: Sequence[int]) -> NDArray[Any]:
        """Read (H, W) from a row and a column; 0 outside the asset and where it has no data."""
        pixels = _cast(_read_window(self.asset, row, col, shape), self.dtype)
        if self.dtype == np.uint16:
            validity.clear_reflectance(pixels, self.offset)
        elif self.dtype == np.float32 and validity.clear_power(pixels, self.asset.nodata):
            raise UnfitError("its pixels are decibels, not linear power")
        return pixels


def _cast(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Convert to a data type of the same kind; what is too large becomes its largest value."""
    if pixels.dtype.itemsize <= dtype.itemsize:
        return pixels.astype(dtype, copy=False)
    if dtype.kind == "u":
        return np.minimum(pixels, np.iinfo(dtype).max).astype(dtype)
    with np.errstate(over="ignore"):  # becomes infinite, and that is implausible
        return pixels.astype(dtype)


def _read_window(asset: Asset, row: int, col: int, shape: Sequence[int]) -> NDArray[Any]:
    """Read (H, W) of an asset's pixels from a row and a column, 0 outside the asset."""
    top, left = max(row, 0), max(col, 0)
    bottom, right = min(row + shape[0], asset.height), min(col + shape[1], asset.width)
    if (bottom - top, right - left) == tuple(shape):
        return asset.read(top, left, *shape)
    plane = np.zeros(tuple(shape), asset.dtype)
    if top < bottom and left < right:
        inside = asset.read(top, left, bottom - top, right - left)
        plane[top - row : bottom - row, left - col : right - col] = inside
    return plane


def _read_coarse(
    source: _Source, row: int, col: int, shape: Sequence[int]
) -> NDArray[np.uint16] | CoarsePlane:
    """Read (H, W) of an asset of twice the pixel size; row and column in pixels of the grid."""
    top, left = row // 2 - 1, col // 2 - 1  # one more on each side, for the neighbours
    height = (row + shape[0] - 1) // 2 + 2 - top
    width = (col + shape[1] - 1) // 2 + 2 - left
    asset = source.asset
    if top < asset.height and left < asset.width and top + height > 0 and left + width > 0:
        coarse = source.window(top, left, (height, width))
        return CoarsePlane(coarse, row % 2, col % 2, (shape[0], shape[1]))
    return np.zeros(tuple(shape), np.uint16)


def _check_fineness(rows: NDArray[Any], cols: NDArray[Any], grid: GeoBox) -> None:
    """Check that an asset's pixels are not far finer than a grid's, before any is read.

    Args:
        rows: (n, m) row of the asset at every node of the grid.
        cols: (n, m) column of the asset at every node.
        grid: the grid.

    Raises:
        UnfitError: they are.

    """
    along = np.diff(rows, axis=1)[:-1] * np.diff(cols, axis=0)[:, :-1]
    across = np.diff(cols, axis=1)[:-1] * np.diff(rows, axis=0)[:, :-1]
    areas = np.abs(across - along) / resample.NODE_STEP_PX**2  # pixels under one of the grid
    areas = areas[np.isfinite(areas)]
    density = float(np.median(areas)) if areas.size else 0.0
    if density > _MAX_DENSITY:
        wanted = abs(grid.resolution.x)
        raise UnfitError(
            f"its pixels of {wanted / sqrt(density):.2g} m are far finer than the {wanted:g} m "
            "they are wanted at"
        )


def _read_warped(source: _Source, grid: GeoBox) -> NDArray[Any]:
    """Read (H, W) resampled: bilinear, or nearest for classes; 0 outside the asset and in nodata.

    GDAL's own warp makes a pixel depend on the block it is read in: it interpolates coordinates
    within 1/8 pixel and fits its kernel to each block. With that disabled it is 50 times as slow.
    """
    asset, plane = source.asset, np.zeros(grid.shape, source.dtype)
    try:
        row, col, xs, ys = resample.transform_nodes(grid, asset.crs.to_wkt())
    except (CRSError, ProjError):
        raise UnfitError("its CRS cannot be converted to the grid's") from None
    across = ~asset.transform
    cols = across.a * xs + across.b * ys + across.c
    rows = across.d * xs + across.e * ys + across.f
    inside = np.isfinite(cols) & np.isfinite(rows)
    if not inside.any():
        return plane
    _check_fineness(rows, cols, grid)
    top, left = max(int(rows[inside].min()) - 2, -1), max(int(cols[inside].min()) - 2, -1)
    bottom = min(int(rows[inside].max()) + 3, asset.height + 1)
    right = min(int(cols[inside].max()) + 3, asset.width + 1)
    height, width = bottom - top, right - left
    if height <= 2 or width <= 2:
        return plane
    if height * width > _MAX_WARP_PIXELS and grid.shape[0] > 1:
        middle = grid.shape[0] // 2  # no pixel depends on the grid it is read in
        halves = grid[:middle], grid[middle:]
        return np.concatenate([_read_warped(source, half) for half in halves])
    pixels = source.window(top, left, (height, width))
    _sample(pixels, rows - top, cols - left, (row, col), plane)
    return plane


def _sample(
    pixels: NDArray[Any],
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
    start: tuple[float, float],
    plane: NDArray[Any],
) -> None:
    """Sample pixels as ``resample.sample_pixels`` does; NaN counts as 0, but its mark is kept.

    A pixel becomes NaN where the nearest one is, and no other is touched by it.
    """
    marks = np.isnan(pixels) if pixels.dtype == np.float32 else np.zeros((0, 0), bool)
    is_marked = bool(marks.any())
    if is_marked:
        pixels[marks] = 0
    is_bilinear = pixels.dtype != np.uint8
    resample.sample_pixels(pixels, rows, cols, start, is_bilinear, plane)
    if is_marked:
        nearest = np.zeros(plane.shape, np.uint8)
        resample.sample_pixels(marks.view(np.uint8), rows, cols, start, False, nearest)
        plane[nearest > 0] = np.nan
