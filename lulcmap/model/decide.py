"""Decide: upsample the logits of cells to pixels, and write classes and how sure they are.

Pixels are decided in lots: those of a row that lie at the same place in their cells, so that loops
run along a row of cells and vectorise. Their percent come from single precision, except where the
next whole number is so close that it might be wrong: those pixels are decided one by one in double
precision. So every byte is that of double precision.

The loops that vectorise read all they need before they choose: a read inside a choice does not.
"""

import numpy as np
from numpy.typing import NDArray

from lulcmap.system import compiled

_LOT = 128
"""Pixels of a lot at most, so that their logits stay in the L1 cache."""

_DOUBT = np.float32(1e-3)
"""Percent to the next whole number within which single precision does not decide. It errs by less
than a tenth of it with 9 classes, and by less than half of it with 255."""


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
        left: (w,) column of cells left of each column of pixels, as of ``interpolation``; the next
            column is right.
        right: (w,) weight of the column right.
        wanted: (h, w) True where to write; other pixels keep their value.
        ids: (K,) ids of the classes in the legend.
        temperature: divisor of the logits.
        out: (3, h, w) class, confidence and margin; written.

    """
    n, width = total.shape[2], right.size
    repeats = np.flatnonzero(right[1:] == right[0])
    stride = int(repeats[0]) + 1 if repeats.size else width
    line = np.empty((n, total.shape[1]), np.float32)
    lot, rows = np.empty((n + 2, _LOT), np.float32), np.empty((4, width), np.uint8)
    places = above, down, left, right, stride
    _write_rows(total, *places, wanted, ids, temperature, line, lot, rows, out)


@compiled
def _write_rows(
    total: NDArray[np.float32],
    above: NDArray[np.int64],
    down: NDArray[np.float32],
    left: NDArray[np.int64],
    right: NDArray[np.float32],
    stride: int,
    wanted: NDArray[np.bool_],
    ids: NDArray[np.uint8],
    temperature: float,
    line: NDArray[np.float32],
    lot: NDArray[np.float32],
    rows: NDArray[np.uint8],
    out: NDArray[np.uint8],
) -> None:
    """As ``write_pixels``, with memory for a row of cells, for a lot, and for rows of pixels."""
    height, width = wanted.shape
    length = lot.shape[1] * stride
    for y in range(height):
        _interpolate_row(total, above[y], down[y], line)
        for start in range(0, width, length):
            stop = min(start + length, width)
            for x in range(start, min(start + stride, stop)):
                size = (stop - x + stride - 1) // stride
                _rank_lot(line, left[x], right[x], size, lot, rows, x, stride)
                _rate_lot(lot, size, temperature, rows, x, stride)
        for x in range(width):
            if not wanted[y, x]:
                continue
            if rows[3, x]:
                _decide_pixel(line, left[x], right[x], temperature, rows[:, x])
            out[0, y, x] = ids[rows[0, x]]
            out[1, y, x] = rows[1, x]
            out[2, y, x] = rows[2, x]


@compiled
def _interpolate_row(
    total: NDArray[np.float32], above: int, down: float, line: NDArray[np.float32]
) -> None:
    """Write the cells' logits (K, W) at one row of pixels, from the rows above and below it."""
    for x in range(total.shape[1]):
        for k in range(total.shape[2]):
            upper = total[above, x, k]
            line[k, x] = upper + down * (total[above + 1, x, k] - upper)


@compiled
def _rank_lot(
    line: NDArray[np.float32],
    left: int,
    right: float,
    size: int,
    lot: NDArray[np.float32],
    rows: NDArray[np.uint8],
    first: int,
    stride: int,
) -> None:
    """Write a lot's logits, its second largest and its largest (K + 2, _LOT), and the best class.

    Pixels of the lot are every ``stride``-th from ``first`` on; their class is an index in the
    first of ``rows``.
    """
    n = line.shape[0]
    second, highest, best = lot[n], lot[n + 1], np.empty(_LOT, np.uint8)
    for x in range(size):
        second[x], highest[x], best[x] = -np.inf, -np.inf, 0
    for k in range(n):
        before, after, logits, number = line[k, left:], line[k, left + 1 :], lot[k], np.uint8(k)
        for x in range(size):
            value = before[x] + right * (after[x] - before[x])
            top, other, index = highest[x], second[x], best[x]
            is_best = value > top
            lesser = top if is_best else value
            logits[x] = value
            second[x] = lesser if lesser > other else other
            highest[x] = value if is_best else top
            best[x] = number if is_best else index
    for x in range(size):
        rows[0, first + x * stride] = best[x]


@compiled
def _rate_lot(
    lot: NDArray[np.float32],
    size: int,
    temperature: float,
    rows: NDArray[np.uint8],
    first: int,
    stride: int,
) -> None:
    """Write a lot's confidence, margin, and whether one of them is in doubt, from ``_rank_lot``.

    They go to the other three of ``rows``; the logits become odds relative to the best class.
    """
    n, one = lot.shape[0] - 2, np.float32(1)
    second, highest, sums = lot[n], lot[n + 1], np.zeros(_LOT, np.float32)
    scale = np.float32(1 / (np.log(2) * temperature))
    for k in range(n + 1):
        values = lot[k]
        for x in range(size):  # 2 to the power of a number up to 0
            exponent = (values[x] - highest[x]) * scale
            exponent = np.float32(-126) if exponent < np.float32(-126) else exponent
            whole = np.int32(exponent)  # towards 0
            rest = exponent - np.float32(whole)
            power = np.float32(0.0009449021893278454)  # a polynomial within 1e-7 of 2**rest
            power = power * rest + np.float32(0.009205794531673197)
            power = power * rest + np.float32(0.05529735507214301)
            power = power * rest + np.float32(0.2401801417586819)
            power = power * rest + np.float32(0.6931437210177166)
            power = power * rest + one
            values[x] = power * np.int32((whole + np.int32(127)) << np.int32(23)).view(np.float32)
    for k in range(n):
        odds = lot[k]
        for x in range(size):
            sums[x] += odds[x]
    for x in range(size):
        share = np.divide(np.float32(100), sums[x])  # / would check for 0, and not vectorise
        sums[x] = share + np.float32(0.5)
        second[x] = (one - second[x]) * share + np.float32(0.5)
    for x in range(size):
        at, confidence, margin = first + x * stride, np.int32(sums[x]), np.int32(second[x])
        rows[1, at], rows[2, at] = confidence, margin
        part, other = sums[x] - np.float32(confidence), second[x] - np.float32(margin)
        is_sure = part > _DOUBT and part < one - _DOUBT and other > _DOUBT and other < one - _DOUBT
        rows[3, at] = not is_sure  # which NaN is not


@compiled
def _interpolate_pixel(
    line: NDArray[np.float32], left: int, right: float, logits: NDArray[np.float32]
) -> int:
    """Write a pixel's logits (K), from the cells on both sides; return the index of the largest."""
    best = 0
    for k in range(logits.shape[0]):
        before = line[k, left]
        logits[k] = before + right * (line[k, left + 1] - before)
        if logits[k] > logits[best]:
            best = k
    return best


@compiled
def _decide_pixel(
    line: NDArray[np.float32],
    left: int,
    right: float,
    temperature: float,
    pixel: NDArray[np.uint8],
) -> None:
    """Write the index of a pixel's class, its confidence and its margin, in double precision."""
    logits = np.empty(line.shape[0], np.float32)
    best = _interpolate_pixel(line, left, right, logits)
    odds, second = 0.0, 0.0  # relative to the best class
    for k in range(logits.shape[0]):
        if k != best:
            odd = np.exp((logits[k] - logits[best]) / temperature)
            odds += odd
            second = max(second, odd)
    pixel[0] = best
    pixel[1] = int(100 / (1 + odds) + 0.5)
    pixel[2] = int(100 * (1 - second) / (1 + odds) + 0.5)


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
    n = total.shape[2]
    line = np.empty((n, total.shape[1]), np.float32)
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
