"""Decide: upsample the logits of cells to pixels, and write classes and how sure they are."""

import numpy as np
from numpy.typing import NDArray

from lulcmap.system import compiled


def interpolation(
    first_pixel: int, n: int, *, first_cell: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Interpolate from cells to pixels on one axis: bilinear, as with ``align_corners=False``.

    A pixel's centre lies at (pixel + 1/2) / stride - 1/2 cells. Pixels and cells are counted from
    the zone's origin in whole numbers, so that the arithmetic is the same in every block.

    Args:
        first_pixel: first pixel, counted in the zone.
        n: number of pixels.
        first_cell: cell of index 0, counted in the zone.
        stride: side of a cell, pixels.

    Returns:
        (n,) index of the cell before a pixel's centre; (n,) distance of the centre from it, 0 to 1
        cells.

    """
    halves = 2 * (first_pixel + np.arange(n, dtype=np.int64)) + 1 - stride
    before, rest = np.divmod(halves, 2 * stride)
    return before - first_cell, (rest / (2 * stride)).astype(np.float32)


@compiled
def _interpolate_row(
    total: NDArray[np.float32], above: int, down: float, line: NDArray[np.float32]
) -> None:
    """Write the cells' logits (W, K) at one row of pixels, from the rows above and below it."""
    for x in range(total.shape[1]):
        for k in range(total.shape[2]):
            upper = total[above, x, k]
            line[x, k] = upper + down * (total[above + 1, x, k] - upper)


@compiled
def _interpolate_pixel(
    line: NDArray[np.float32], left: int, right: float, logits: NDArray[np.float32]
) -> int:
    """Write a pixel's logits (K), from the cells on both sides; return the index of the largest."""
    best = 0
    for k in range(logits.shape[0]):
        before = line[left, k]
        logits[k] = before + right * (line[left + 1, k] - before)
        if logits[k] > logits[best]:
            best = k
    return best


def logits_at(
    total: NDArray[np.float32],
    above: NDArray[np.int64],
    down: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.float32],
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
) -> NDArray[np.float32]:
    """(n, K) logits of some pixels; arguments and arithmetic as of ``write_pixels``."""
    y, x = above[rows], left[cols]
    lower, beside = down[rows, None], right[cols, None]
    before, after = (total[y, at] + lower * (total[y + 1, at] - total[y, at]) for at in (x, x + 1))
    logits: NDArray[np.float32] = before + beside * (after - before)
    return logits


@compiled
def write_pixels(
    total: NDArray[np.float32],
    above: NDArray[np.int64],
    down: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    ids: NDArray[np.uint8],
    temperature: float,
    out: NDArray[np.uint8],
) -> None:
    """Upsample the logits of cells to pixels, and write class, confidence and margin.

    Args:
        total: (H, W, K) logits of the cells.
        above: (h,) row of cells above each row of pixels; the next row is below.
        down: (h,) weight of the row below.
        left: (w,) column of cells left of each column of pixels; the next column is right.
        right: (w,) weight of the column right.
        wanted: (h, w) True where to write; other pixels keep their value.
        ids: (K,) ids of the classes in the legend.
        temperature: divisor of the logits.
        out: (3, h, w) class, confidence and margin; written.

    """
    height, width = wanted.shape
    cols, n = total.shape[1], total.shape[2]
    line = np.empty((cols, n), np.float32)  # the cells' logits at one row of pixels
    logits = np.empty(n, np.float32)
    for y in range(height):
        _interpolate_row(total, above[y], down[y], line)
        for x in range(width):
            if not wanted[y, x]:
                continue
            best = _interpolate_pixel(line, left[x], right[x], logits)
            odds, second = 0.0, 0.0  # relative to the best class
            for k in range(n):
                if k != best:
                    odd = np.exp((logits[k] - logits[best]) / temperature)
                    odds += odd
                    second = max(second, odd)
            out[0, y, x] = ids[best]
            out[1, y, x] = int(100 / (1 + odds) + 0.5)
            out[2, y, x] = int(100 * (1 - second) / (1 + odds) + 0.5)


@compiled
def write_probabilities(
    total: NDArray[np.float32],
    above: NDArray[np.int64],
    down: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    ids: NDArray[np.uint8],
    temperature: float,
    out: NDArray[np.uint8],
) -> None:
    """Write the probability of every class; arguments and arithmetic as of ``write_pixels``.

    Args:
        total: (H, W, K) logits of the cells.
        above: (h,) row of cells above each row of pixels.
        down: (h,) weight of the row below.
        left: (w,) column of cells left of each column of pixels.
        right: (w,) weight of the column right.
        wanted: (h, w) True where to write.
        ids: (K,) ids of the classes in the legend.
        temperature: divisor of the logits.
        out: (number of classes in the legend, h, w) percent, by id; written.

    """
    height, width = wanted.shape
    cols, n = total.shape[1], total.shape[2]
    line = np.empty((cols, n), np.float32)
    logits = np.empty(n, np.float32)
    odds = np.empty(n, np.float64)
    for y in range(height):
        _interpolate_row(total, above[y], down[y], line)
        for x in range(width):
            if not wanted[y, x]:
                continue
            best = _interpolate_pixel(line, left[x], right[x], logits)
            whole = 0.0
            for k in range(n):
                odds[k] = np.exp((logits[k] - logits[best]) / temperature)
                whole += odds[k]
            for k in range(n):
                out[ids[k], y, x] = int(100 * odds[k] / whole + 0.5)
