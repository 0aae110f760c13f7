"""Compiled loops of the compositing, over every sample."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lulcmap.sensors import S1_NODATA
from lulcmap.system import compiled

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
def grow(mask: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    """Return (h, w) True within ``reach`` pixels to the left and right of a True."""
    height, width = mask.shape
    out = np.zeros((height, width), np.bool_)
    for y in range(height):
        until = -1
        for x in range(width + reach):
            if x < width and mask[y, x]:
                until = x + 2 * reach
            if x >= reach:
                out[y, x - reach] = x <= until
    return out


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

    """
    size, height, width = stack.shape
    below, above = (size - 1) // 2, min((size - 1) // 2 + 1, size - 1)
    single = size % 2  # whether one sample in the middle is ``below`` (T odd) or ``above``
    rows = np.empty((size, _CHUNK_PX), np.uint16)
    count, floor = np.empty(_CHUNK_PX, np.uint16), np.empty(_CHUNK_PX, np.uint16)
    for y in range(height):
        for start in range(0, width, _CHUNK_PX):
            n = min(_CHUNK_PX, width - start)
            largest_missing(stack, y, start, floor)
            pad = np.empty(_CHUNK_PX, np.uint16)
            pad[:] = 0
            count[:] = 0
            for t in range(size):
                samples, row = stack[t, y, start : start + n], rows[t]
                for x in range(n):
                    missing = samples[x] <= floor[x]
                    row[x] = pad[x] if missing else samples[x]
                    pad[x] = ~pad[x] if missing else pad[x]
                    count[x] += not missing
            for k in range(network.shape[0]):
                low, high = rows[network[k, 0]], rows[network[k, 1]]
                for x in range(_CHUNK_PX):
                    a, b = low[x], high[x]
                    low[x] = min(a, b)
                    high[x] = max(a, b)
            for x in range(n):
                a, b = rows[below, x], rows[above, x]
                if count[x] % 2:
                    value = a if single else b
                else:
                    value = np.uint16((np.uint32(a) + np.uint32(b) + 1) >> 1)
                out[y, start + x] = value if count[x] else 0
                fewest[y, start + x] = min(fewest[y, start + x], count[x])


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
) -> tuple[int, int]:
    """Add one scene where both bands have data and no earlier scene of its datatake does.

    Args:
        vv: (H, W) linear power of VV, 0 nodata, NaN implausible.
        vh: (H, W) linear power of VH, 0 nodata, NaN implausible.
        pending: (H, W) True where the datatake has not been added yet; written.
        counted: (H, W) True where implausible power is counted.
        total: (2, H, W) sums of linear power; written.
        count: (H, W) datatakes in the sums; written.

    Returns:
        The number of pixels the scene was added to, and the number of those that it would have been
        added to but for implausible power.

    """
    height, width = vv.shape
    n_added, n_implausible = 0, 0
    for y in range(height):
        for x in range(width):
            if not pending[y, x]:
                continue
            if vv[y, x] > 0 and vh[y, x] > 0:
                pending[y, x] = False
                total[0, y, x] += vv[y, x]
                total[1, y, x] += vh[y, x]
                count[y, x] += 1
                n_added += 1
            elif counted[y, x]:
                n_implausible += math.isnan(vv[y, x]) or math.isnan(vh[y, x])
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
