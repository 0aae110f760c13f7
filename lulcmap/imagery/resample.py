"""Resample pixels to another grid: bilinear, exact where the pixel size is halved."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lulcmap.system import compiled, inlined

NODE_STEP_PX = 8
"""Pixels between the nodes at which coordinates are transformed; a power of two, so that fractions
are exact and no pixel depends on the grid it is read in."""

_EDGE_TOLERANCE_PX = 1e-6
"""Pixels by which rounding may move a centre off an edge it lies on; the sample beyond the edge is
taken, as in GDAL."""


@dataclass(frozen=True, slots=True)
class CoarsePlane:
    """A plane of twice the pixel size, not doubled yet."""

    samples: NDArray[np.uint16]
    """(h, w) samples under the grid, with one more on each side."""

    odd_row: int
    """1 if the grid's first row is the lower half of its samples, else 0."""

    odd_col: int
    """1 if the grid's first column is the right half of its samples, else 0."""

    shape: tuple[int, int]
    """Rows and columns of the grid."""

    def doubled(self) -> NDArray[np.uint16]:
        """(H, W) on the grid."""
        plane = np.empty(self.shape, np.uint16)
        double(self.samples, self.odd_row, self.odd_col, plane)
        return plane


@compiled
def double(coarse: NDArray[np.uint16], odd_row: int, odd_col: int, out: NDArray[np.uint16]) -> None:
    """Halve the pixel size, bilinear: weights of 9, 3, 3 and 1 sixteenths, halves rounded up.

    Nodata (0) is handled as in GDAL's bilinear warp: samples of 0 have no weight, and a pixel whose
    own sample is 0 stays 0.

    Args:
        coarse: (h, w) samples under ``out``, with one more on each side.
        odd_row: 1 if the first row of ``out`` is the lower half of its samples, else 0.
        odd_col: 1 if the first column of ``out`` is the right half of its samples, else 0.
        out: (H, W) pixels; written.

    """
    height, width = out.shape
    tall = np.empty(coarse.shape[1], np.uint32)
    pairs = np.empty(coarse.shape[1] - 2, np.uint32)
    fine = pairs.view(np.uint16)
    for y in range(odd_row, height + odd_row):
        double_row(coarse[1 + y // 2], coarse[y // 2 + 2 * (y % 2)], tall, pairs, fine)
        for x in range(width):  # a slice would compile the text of its error: as long as all else
            out[y - odd_row, x] = fine[odd_col + x]


@inlined
def double_row(
    own: NDArray[np.uint16],
    near: NDArray[np.uint16],
    tall: NDArray[np.uint32],
    pairs: NDArray[np.uint32],
    fine: NDArray[np.uint16],
) -> None:
    """Write one row of doubled pixels, two at once.

    Args:
        own: (w + 2,) row of samples the pixels lie in, with one more on each side.
        near: (w + 2,) row of samples next to it.
        tall: (w + 2,) is written.
        pairs: (w,) two pixels each; written.
        fine: (2 w,) the same memory.

    """
    three, eight, four, half = np.uint32(3), np.uint32(8), np.uint32(4), np.uint32(16)
    darkest = np.uint16(65535)
    for x in range(tall.shape[0]):  # sums of uint32 are uint64 to numba, and half as fast
        tall[x] = np.uint32(three * np.uint32(own[x]) + np.uint32(near[x]))
        darkest = min(darkest, min(own[x], near[x]))
    for x in range(pairs.shape[0]):
        left = np.uint32(three * tall[x + 1] + tall[x] + eight) >> four
        right = np.uint32(three * tall[x + 1] + tall[x + 2] + eight) >> four
        pairs[x] = left | np.uint32(right << half)
    if darkest == 0:
        _double_gaps(own, near, fine)


@compiled
def _double_gaps(
    own: NDArray[np.uint16], near: NDArray[np.uint16], fine: NDArray[np.uint16]
) -> None:
    """Recompute the pixels of a doubled row that touch samples of 0, without those samples.

    Args:
        own: (w + 2,) row of samples the pixels lie in.
        near: (w + 2,) row of samples next to it.
        fine: (2 w,) doubled row; written.

    """
    for x in range(1, own.shape[0] - 1):
        for half in range(2):
            side = x + 2 * half - 1
            a, b, c, d = int(own[x]), int(own[side]), int(near[x]), int(near[side])
            if a == 0:
                fine[2 * x - 2 + half] = 0
            elif b == 0 or c == 0 or d == 0:
                weight = 9 + 3 * (b != 0) + 3 * (c != 0) + (d != 0)
                total = 9 * a + 3 * b + 3 * c + d
                fine[2 * x - 2 + half] = (2 * total + weight) // (2 * weight)


@lru_cache(maxsize=8)
def transform_nodes(grid: GeoBox, crs: str) -> tuple[float, float, NDArray[Any], NDArray[Any]]:
    """Transform every eighth pixel of a grid to another CRS.

    Coordinates between these nodes are interpolated: in UTM a cell of 80 m bends by less than
    1e-4 m. Nodes lie at multiples of their spacing from the origin of the grid's CRS, whatever the
    grid.

    Args:
        grid: north-up grid.
        crs: CRS of the source, as WKT.

    Returns:
        Row and column of the grid's corner, in pixels from the first node; (h, w) x and (h, w) y of
        the nodes, in units of ``crs``, infinite where it is not defined.

    """
    row, col = grid.affine.f / grid.affine.e, grid.affine.c / grid.affine.a
    top, left = math.floor(row / NODE_STEP_PX), math.floor(col / NODE_STEP_PX)
    down = np.arange(top, math.floor((row + grid.shape[0]) / NODE_STEP_PX) + 2) * NODE_STEP_PX
    along = np.arange(left, math.floor((col + grid.shape[1]) / NODE_STEP_PX) + 2) * NODE_STEP_PX
    x, y = np.meshgrid(along * grid.affine.a, down * grid.affine.e)
    to_source = Transformer.from_crs(str(grid.crs), crs, always_xy=True)
    xs, ys = to_source.transform(x, y)
    return row - top * NODE_STEP_PX, col - left * NODE_STEP_PX, xs, ys


@compiled
def sample_pixels(
    pixels: NDArray[Any],
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
    start: tuple[float, float],
    is_bilinear: bool,
    out: NDArray[Any],
) -> None:
    """Sample a source at each pixel of a grid: nearest, or bilinear from the four nearest.

    As in GDAL's warp, samples of 0 have no weight, a pixel whose own sample is 0 stays 0, and
    integers are rounded, halves up.

    Args:
        pixels: (h, w) samples of the source, with a margin of one.
        rows: (n, m) row in ``pixels`` of every node.
        cols: (n, m) column in ``pixels`` of every node.
        start: row and column of the corner of ``out``, in its pixels from the first node.
        is_bilinear: whether to interpolate; else the nearest sample is taken.
        out: (H, W) pixels; written where the source has a sample.

    """
    height, width = pixels.shape
    half = 0.5 if out.itemsize < 4 else 0.0
    for y in range(out.shape[0]):
        down = (start[0] + y + 0.5) / NODE_STEP_PX
        i, t = int(down), down - int(down)
        for x in range(out.shape[1]):
            along = (start[1] + x + 0.5) / NODE_STEP_PX
            j, s = int(along), along - int(along)
            row = (1 - t) * ((1 - s) * rows[i, j] + s * rows[i, j + 1])
            row += t * ((1 - s) * rows[i + 1, j] + s * rows[i + 1, j + 1])
            col = (1 - t) * ((1 - s) * cols[i, j] + s * cols[i, j + 1])
            col += t * ((1 - s) * cols[i + 1, j] + s * cols[i + 1, j + 1])
            if not (1 <= row < height - 1 and 1 <= col < width - 1):  # also where it is NaN
                continue
            own = pixels[int(row + _EDGE_TOLERANCE_PX), int(col + _EDGE_TOLERANCE_PX)]
            if own == 0 or not is_bilinear:
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
