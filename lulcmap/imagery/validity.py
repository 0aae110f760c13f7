"""What can be a measurement: the other pixels of a file become nodata before anything uses them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.sensors import S1_POWER, S2_SATURATED
from lulcmap.system import compiled

_DECIBELS = (-100.0, -1.0)
"""Range of backscatter in decibels that linear power cannot have: noise removal leaves -0.01."""


def clear_reflectance(pixels: NDArray[np.uint16], offset: int) -> None:
    """Set reflectance that is saturated or impossible to 0.

    With an offset, a DN of 1 is a reflectance of -0.1, and products have it instead of 0 at the
    edges of swaths; without one, it is a dark pixel that was clipped.

    Args:
        pixels: (H, W) raw DN, 0 nodata; written.
        offset: DN to subtract.

    """
    lowest = 2 if offset > 0 else 1
    highest = min(max(offset + S2_SATURATED - 1, lowest), 65535)
    _clear_outside(pixels, np.uint16(lowest), np.uint16(highest))


@compiled
def _clear_outside(pixels: NDArray[np.uint16], lowest: np.uint16, highest: np.uint16) -> None:
    height, width = pixels.shape
    for y in range(height):
        line = pixels[y]
        for x in range(width):
            value = line[x]
            line[x] = value if lowest <= value <= highest else np.uint16(0)


def clear_power(pixels: NDArray[np.float32], nodata: float | None) -> bool:
    """Set backscatter to 0 where it is nodata, NaN or negative, to NaN where it is implausible.

    Args:
        pixels: (H, W) linear gamma-nought; written.
        nodata: the value that the file declares as nodata, if any.

    Returns:
        Whether the pixels are decibels: more of them lie between -100 and -1 than above 0.

    """
    declared = np.float32(math.nan if nodata is None else nodata)
    return bool(_clear_power(pixels, declared, np.float32(S1_POWER[0]), np.float32(S1_POWER[1])))


@compiled
def _clear_power(
    pixels: NDArray[Any], nodata: np.float32, smallest: np.float32, largest: np.float32
) -> bool:
    height, width = pixels.shape
    n_power, n_decibels, first, varies = 0, 0, np.float32(0), False
    for y in range(height):
        line = pixels[y]
        n_plain, n_odd = np.int32(0), np.int32(0)
        for x in range(width):  # no branches: whole rows vectorise
            is_power = (line[x] >= smallest) & (line[x] <= largest) & (line[x] != nodata)
            is_odd = ((line[x] > 0) | (line[x] < -1)) & (line[x] != nodata)
            n_plain += np.int32(is_power)
            n_odd += np.int32(is_odd & ~is_power)
        n_power += int(n_plain)
        if n_odd == 0 and n_plain < width:
            for x in range(width):
                line[x] = line[x] if line[x] > 0 and line[x] != nodata else np.float32(0)
        for x in range(width if n_odd else 0):
            value = line[x]
            if value >= smallest and value <= largest and value != nodata:
                continue
            is_absurd = value != nodata and (value > 0 or value == -np.inf)
            line[x] = np.nan if is_absurd else 0
            if value != nodata and value > _DECIBELS[0] and value < _DECIBELS[1]:
                varies |= n_decibels > 0 and value != first  # else nodata that is not declared
                first = value
                n_decibels += 1
    return varies and n_decibels > n_power
