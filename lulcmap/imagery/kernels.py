"""Compiled loops of the compositing, over every sample."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lulcmap.sensors import S1_NODATA
from lulcmap.system import compiled, inlined

NO_SCENE = 65535
"""Scene number that stands for no scene."""

S1_FLOOR = -5000
"""Smallest backscatter in a composite, hundredths of a decibel; below it is instrument noise."""

_CLIPPED_BELOW = 500
"""Reflectance x 10000 of the darkest other sample, from which on a sample of 1 is no measurement:
no surface goes from 5 % to nothing. Clear water is darker than that in every band."""

_DARK_BELOW = 1000
"""Reflectance x 10000 below which B06 to B12 are in water so dark that a band of it is zero."""

_DARK_VISIBLE_BELOW = 2000
"""The same in B02 to B05; snow and cloud are brighter."""

_N_VISIBLE = 4
"""Bands of a composite that are B02 to B05."""

_CHUNK_PX = 256
"""Pixels of a row the median processes at once, so that its samples stay in the L1 cache."""


@lru_cache(maxsize=32)
def sorting_network(size: int) -> NDArray[np.int64]:
    """Return (n, 2) pairs that, compared and exchanged in order, sort the middle of the samples.

    Batcher's odd-even merge sort, without the pairs on which the two middle outputs do not depend.

    Args:
        size: number of samples.

    """
    pairs = [
        (i + j, i + j + k)
        for p in _powers_of_two(size)
        for k in reversed(_powers_of_two(2 * p))
        for j in range(k % p, size - k, 2 * k)
        for i in range(min(k, size - j - k))
        if (i + j) // (p * 2) == (i + j + k) // (p * 2)
    ]
    needed = {(size - 1) // 2, size // 2, min(size // 2 + 1, size - 1) if size % 2 else size // 2}
    kept = []
    for low, high in reversed(pairs):
        if low in needed or high in needed:
            kept.append((low, high))
            needed |= {low, high}
    return np.array(kept[::-1], np.int64).reshape(-1, 2)


def _powers_of_two(stop: int) -> list[int]:
    """Return the powers of two below a number."""
    return [1 << n for n in range((stop - 1).bit_length())]


@compiled
def find_masked(
    codes: NDArray[np.uint8],
    kinds: NDArray[np.uint8],
    reach: int,
    masked: NDArray[np.bool_],
) -> None:
    """Find the pixels that are not clear: of a masked class, or near one that grows.

    Args:
        codes: (h + 2 reach, w + 2 reach) classes.
        kinds: (256,) for each class 0 clear, 1 masked, 2 grown ``reach`` pixels all around.
        reach: width of the margin.
        masked: (h, w) True where not clear; written.

    """
    height, width = codes.shape
    until = np.full(width, -1, np.int32)  # row up to which a column is grown
    for y in range(height):
        nearest = -1 - 2 * reach
        for x in range(width):
            nearest = x if kinds[codes[y, x]] == 2 else nearest
            if x >= 2 * reach and x - nearest <= 2 * reach:
                until[x - 2 * reach] = y
        if y >= 2 * reach:
            own, out = codes[y - reach, reach:], masked[y - 2 * reach]
            for x in range(out.shape[0]):
                out[x] = kinds[own[x]] != 0 or (until[x] >= 0 and y - until[x] <= 2 * reach)


@compiled
def try_datatake(
    source: NDArray[np.uint16],
    masked: NDArray[np.bool_],
    tries: NDArray[np.uint8],
    clear: NDArray[np.uint8],
    picks: NDArray[np.uint16],
    max_scenes: int,
) -> int:
    """Try one datatake in every unfinished pixel; return how many are still unfinished.

    Args:
        source: (h, w) number of the scene the pixel takes, or ``NO_SCENE``.
        masked: (h, w) True where it is not clear.
        tries: (h, w) datatakes with data so far; written.
        clear: (h, w) clear ones among them; written.
        picks: (slots, h, w) scenes of the clear ones; written.
        max_scenes: maximum number of tries.

    """
    slots, height, width = picks.shape
    unfinished = 0
    for y in range(height):
        for x in range(width):
            if clear[y, x] >= slots or tries[y, x] >= max_scenes:
                continue
            if source[y, x] != NO_SCENE:
                tries[y, x] += 1
                if not masked[y, x]:
                    picks[clear[y, x], y, x] = source[y, x]
                    clear[y, x] += 1
            unfinished += clear[y, x] < slots and tries[y, x] < max_scenes
    return unfinished


@compiled
def largest_missing(stack: NDArray[np.uint16], y: int, start: int, out: NDArray[np.uint16]) -> None:
    """Find the largest value that counts as missing in pixels of a row: 0 or 1.

    A value of 1 stands for any reflectance of 0 and less: of dark water or of a shadow, or of the
    edge of a swath that a provider filled with it. Where all others are bright it is missing.

    Args:
        stack: (T, H, W) samples of one band, 0 missing.
        y: the row.
        start: first column.
        out: (n,) largest missing values; written.

    """
    n = min(out.shape[0], stack.shape[2] - start)
    out[:] = 0
    for t in range(stack.shape[0]):
        samples = stack[t, y, start : start + n]
        for x in range(n):
            out[x] |= np.uint16(samples[x] == 1)
    has_ones = np.uint16(0)
    for x in range(n):
        has_ones |= out[x]
    if not has_ones:
        return
    out[:] = 65535  # becomes the darkest of the other samples
    for t in range(stack.shape[0]):
        samples = stack[t, y, start : start + n]
        for x in range(n):
            other = samples[x] if samples[x] > 1 else np.uint16(65535)
            out[x] = min(out[x], other)
    for x in range(n):
        out[x] = np.uint16((out[x] >= _CLIPPED_BELOW) & (out[x] < 65535))


@compiled
def median(
    stack: NDArray[np.uint16],
    network: NDArray[np.int64],
    out: NDArray[np.uint16],
    fewest: NDArray[np.uint8],
    start_row: int,
    stop_row: int,
) -> None:
    """Compute the median of the samples that are not 0, halves rounded up; 0 where there are none.

    Samples of 1 count as missing where all others of the pixel are bright (``largest_missing``).
    Missing samples become 0 and 65535 in turn, so that the median of the others stays in the middle
    of a network of fixed size. Whole rows are compared and exchanged, because that vectorises.

    Args:
        stack: (T, H, W) samples; 0 missing.
        network: (n, 2) from ``sorting_network(T)``.
        out: (H, W) medians; written.
        fewest: (H, W) lowered to the number of samples where that is less; written.
        start_row: first row to compute.
        stop_row: the row after the last.

    """
    size, _, width = stack.shape
    rows = np.empty((size, _CHUNK_PX), np.uint16)
    floor, pad = np.empty(_CHUNK_PX, np.uint16), np.empty(_CHUNK_PX, np.uint16)
    count = np.empty(_CHUNK_PX, np.uint16)
    for y in range(start_row, stop_row):
        for start in range(0, width, _CHUNK_PX):
            n = min(_CHUNK_PX, width - start)
            least = np.uint16(65535)
            for t in range(size):
                samples, row = stack[t, y, start : start + n], rows[t]
                for x in range(n):
                    row[x] = samples[x]
                    least = min(least, samples[x])
            count[:] = size
            if least <= 1:
                largest_missing(stack, y, start, floor)
                _pad_missing(rows, floor, pad, count)
            for k in range(network.shape[0]):
                low, high = rows[network[k, 0]], rows[network[k, 1]]
                for x in range(_CHUNK_PX):
                    a, b = low[x], high[x]
                    low[x] = min(a, b)
                    high[x] = max(a, b)
            medians, counts = out[y, start : start + n], fewest[y, start : start + n]
            _write_medians(rows, count, medians, counts)


@inlined
def _pad_missing(
    rows: NDArray[np.uint16],
    floor: NDArray[np.uint16],
    pad: NDArray[np.uint16],
    count: NDArray[np.uint16],
) -> None:
    """Replace missing samples by 0 and 65535 in turn.

    Args:
        rows: (T, n) samples; written.
        floor: (n,) largest values that count as missing.
        pad: (n,) is written.
        count: (n,) number of samples that are not missing; written.

    """
    pad[:] = 0
    count[:] = 0
    for t in range(rows.shape[0]):
        row = rows[t]
        for x in range(row.shape[0]):
            value, filler = row[x], pad[x]
            gap = np.uint16(0) - np.uint16(value <= floor[x])  # all bits set where missing
            row[x] = (value & ~gap) | (filler & gap)
            pad[x] = filler ^ gap
            count[x] += np.uint16(1) + gap


@inlined
def _write_medians(
    rows: NDArray[np.uint16],
    count: NDArray[np.uint16],
    out: NDArray[np.uint16],
    fewest: NDArray[np.uint8],
) -> None:
    """Write medians from the sorted middle of padded samples; arguments as of ``median``."""
    size = rows.shape[0]
    below, above = rows[(size - 1) // 2], rows[min((size - 1) // 2 + 1, size - 1)]
    is_odd = size % 2  # the one in the middle of an odd number is then ``below``
    for x in range(out.shape[0]):
        a, b = below[x], above[x]
        single = a if is_odd else b
        both = np.uint16((np.uint32(a) + np.uint32(b) + 1) >> 1)
        value = single if count[x] % 2 else both
        out[x] = value if count[x] else np.uint16(0)
        fewest[x] = min(fewest[x], count[x])


@compiled
def settle_incomplete(image: NDArray[np.uint16], count: NDArray[np.uint8]) -> None:
    """Set to 0, in all bands, the pixels that lack a band, unless they are dark water.

    Water can be too dark for a band: products have 0 there, as where they have no data. A pixel is
    taken for water if it has most bands and all of these are dark; what it lacks becomes 1. Where
    bands are missing at the edge of a swath, land is brighter than that. A pixel of nothing but 1
    holds no measurement.

    Args:
        image: (9, H, W) medians, bands as ``S2_BANDS``; written.
        count: (H, W) samples in the band with the fewest, 1 for dark water; written.

    """
    _, height, width = image.shape
    for y in range(height):
        row, counts = image[0, y], count[y]
        is_doubtful = np.uint16(0)
        for x in range(width):
            is_doubtful |= np.uint16((row[x] == 1) | (counts[x] == 0))
        for x in range(width if is_doubtful else 0):
            if row[x] == 1 or counts[x] == 0:
                counts[x] = _settle(image[:, y, x], counts[x])


@compiled
def _settle(values: NDArray[np.uint16], count: int) -> int:
    """Settle one pixel; return its new count."""
    bands = values.shape[0]
    n_present, n_above_1, is_dark = 0, 0, True
    for band in range(bands):
        n_present += values[band] > 0
        n_above_1 += values[band] > 1
        is_dark &= values[band] < (_DARK_VISIBLE_BELOW if band < _N_VISIBLE else _DARK_BELOW)
    if n_above_1 == 0 or (n_present < bands and not (is_dark and 2 * n_present > bands)):
        values[:] = 0
        return 0
    for band in range(bands):
        values[band] = max(values[band], np.uint16(1))
    return max(count, 1)


@compiled
def add_scene(
    vv: NDArray[np.float32],
    vh: NDArray[np.float32],
    pending: NDArray[np.bool_],
    counted: NDArray[np.bool_],
    total: NDArray[np.float32],
    count: NDArray[np.uint16],
    start_row: int,
    stop_row: int,
) -> tuple[int, int]:
    """Add one scene where both bands have data and no earlier scene of its datatake does.

    Args:
        vv: (H, W) linear power of VV, 0 nodata, NaN implausible.
        vh: (H, W) linear power of VH, 0 nodata, NaN implausible.
        pending: (H, W) True where the datatake has not been added yet; written.
        counted: (H, W) True where implausible power is counted.
        total: (2, H, W) sums of linear power; written.
        count: (H, W) datatakes in the sums; written.
        start_row: first row to add.
        stop_row: the row after the last.

    Returns:
        The number of pixels the scene was added to, and the number of those that it would have been
        added to but for implausible power.

    """
    width = vv.shape[1]
    n_added, n_implausible = 0, 0
    for y in range(start_row, stop_row):
        one, other, waits, counts = vv[y], vh[y], pending[y], counted[y]
        first, second, summands = total[0, y], total[1, y], count[y]
        n_here, n_odd = np.int32(0), np.int32(0)
        for x in range(width):  # no branches: whole rows vectorise
            a, b = one[x], other[x]
            is_added = waits[x] & (a > 0) & (b > 0)
            first[x] += a if is_added else np.float32(0)
            second[x] += b if is_added else np.float32(0)
            summands[x] += np.uint16(is_added)
            n_here += np.int32(is_added)
            n_odd += np.int32(waits[x] & counts[x] & ((a != a) | (b != b)))  # NaN
            waits[x] &= not is_added
        n_added += int(n_here)
        n_implausible += int(n_odd)
    return n_added, n_implausible


@compiled
def mean_decibel(
    total: NDArray[np.float32], count: NDArray[np.uint16], out: NDArray[np.int16]
) -> None:
    """Convert sums of power to their mean in hundredths of a decibel, halves rounded up.

    Args:
        total: (H, W) sums of linear power.
        count: (H, W) number of summands; where it is 0, ``out`` becomes ``S1_NODATA``.
        out: (H, W) means, ``S1_FLOOR`` to 32767; written.

    """
    height, width = total.shape
    for y in range(height):
        for x in range(width):
            if count[y, x] == 0:
                out[y, x] = S1_NODATA
            else:
                power = np.float64(total[y, x]) / count[y, x]
                level = math.floor(1000 * math.log10(power) + 0.5)
                out[y, x] = min(max(level, S1_FLOOR), 32767)
