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
def fill_slots(
    stack: NDArray[np.uint16],
    picks: NDArray[np.uint16],
    number: int,
    plane: NDArray[np.uint16],
    offset: int,
) -> None:
    """Write a plane's pixels to the slots that picked its scene, the offset removed.

    Args:
        stack: (slots, H, W) samples of one band; written.
        picks: (slots, H/2, W/2) scene numbers.
        number: number of the plane's scene.
        plane: (H, W) raw DN. Nodata (0) stays 0; everything else becomes at least 1.
        offset: DN to subtract.

    """
    slots, height, width = picks.shape
    mark = np.empty(2 * width, np.uint16)  # all bits set where picked: bitwise blending vectorises
    least, most, none = np.int32(1), np.int32(65535), np.int32(0)
    for y in range(height):
        for slot in range(slots):
            n_picked = 0
            for x in range(width):
                picked = picks[slot, y, x] == number
                n_picked += picked
                mark[2 * x] = mark[2 * x + 1] = most if picked else none
            for line in range(2 * y, 2 * y + 2 if n_picked else 2 * y):
                raw, filled = plane[line], stack[slot, line]
                for x in range(2 * width):
                    value = min(max(np.int32(raw[x]) - np.int32(offset), least), most)
                    value = value if raw[x] != 0 else none
                    filled[x] = (np.uint16(value) & mark[x]) | (filled[x] & ~mark[x])


@compiled
def median(
    stack: NDArray[np.uint16],
    network: NDArray[np.int64],
    out: NDArray[np.uint16],
    fewest: NDArray[np.uint8],
) -> None:
    """Compute the median of the samples that are not 0, halves rounded up; 0 where there are none.

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
    count = np.empty(_CHUNK_PX, np.uint16)
    for y in range(height):
        for start in range(0, width, _CHUNK_PX):
            n = min(_CHUNK_PX, width - start)
            pad = np.empty(_CHUNK_PX, np.uint16)
            pad[:] = 0
            count[:] = 0
            for t in range(size):
                samples, row = stack[t, y, start : start + n], rows[t]
                for x in range(n):
                    missing = samples[x] == 0
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
def clear_incomplete(image: NDArray[np.uint16], count: NDArray[np.uint8]) -> None:
    """Set to 0, in all bands, the pixels that lack a band: those with a count of 0."""
    bands, height, width = image.shape
    for y in range(height):
        for x in range(width):
            if count[y, x] == 0:
                for band in range(bands):
                    image[band, y, x] = 0


@compiled
def add_scene(
    vv: NDArray[np.float32],
    vh: NDArray[np.float32],
    pending: NDArray[np.bool_],
    total: NDArray[np.float32],
    count: NDArray[np.uint16],
) -> int:
    """Add one scene where both bands have data and no earlier scene of its datatake does.

    Args:
        vv: (H, W) linear power of VV, 0 nodata.
        vh: (H, W) linear power of VH, 0 nodata.
        pending: (H, W) True where the datatake has not been added yet; written.
        total: (2, H, W) sums of linear power; written.
        count: (H, W) datatakes in the sums; written.

    Returns:
        The number of pixels the scene was added to.

    """
    height, width = vv.shape
    n_added = 0
    for y in range(height):
        for x in range(width):
            if pending[y, x] and vv[y, x] > 0 and vh[y, x] > 0:
                pending[y, x] = False
                total[0, y, x] += vv[y, x]
                total[1, y, x] += vh[y, x]
                count[y, x] += 1
                n_added += 1
    return n_added


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
