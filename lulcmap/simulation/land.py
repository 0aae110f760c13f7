"""The land: the class of each region.

The truth is regional: a town is built, including its gardens and parks; a wood is trees, including
its clearings. ``cover`` then decides what each pixel shows.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.simulation.cover import N_PLACE, N_TEXTURE, fill_cover
from lulcmap.simulation.noise import fractal, smooth, uniform
from lulcmap.system import compiled

_SHARES = {
    "lake": 0.05,
    "river_below": 0.8,
    "flooded": 0.055,
    "snow": 0.06,
    "rock": 0.055,
    "high_shrub": 0.06,
    "town": 0.085,
    "pit": 0.02,
    "wood": 0.21,
    "heath": 0.05,
    "meadow": 0.15,
}
"""Shares of the country; the rest is crops. ``river_below`` is a quantile of the heights."""

_HEIGHT, _ALPINE, _RIVER, _WET, _TOWN, _PIT, _WOOD, _HEATH, _MEADOW = range(9)
"""Indices of the fields that classes are derived from."""

_ROWS_AT_ONCE = 256
"""Rows to make at a time: limits the memory for the fields."""


@dataclass(frozen=True, slots=True)
class Land:
    """The land, which is the same on every date. All arrays are (H, W) unless noted."""

    truth: NDArray[np.uint8]
    """Class of the region, 0 to 8: the true map."""

    cover: NDArray[np.uint8]
    """Class that the pixel shows, 0 to 8: its statistics are used."""

    latents: NDArray[np.int8]
    """(PLACE + TEXTURE, H, W) standard normal numbers times ``SCALE``."""

    delay: NDArray[np.int8]
    """Delay of a field's season, ten-day steps."""

    shade: NDArray[np.int8]
    """Effect of the slope on ln reflectance, hundredths; positive where it faces the sun."""


def make_land(key: np.uint64, shape: tuple[int, int]) -> Land:
    """Make a country's land.

    Args:
        key: any 64 bits; the same key gives the same land.
        shape: height and width, pixels of 10 m.

    """
    height, width = shape
    limits = _limits(key, shape)
    land = Land(
        truth=np.empty(shape, np.uint8),
        cover=np.empty(shape, np.uint8),
        latents=np.empty((N_PLACE + N_TEXTURE, *shape), np.int8),
        delay=np.zeros(shape, np.int8),
        shade=np.zeros(shape, np.int8),
    )
    for row in range(0, height, _ROWS_AT_ONCE):
        rows = slice(row, min(row + _ROWS_AT_ONCE, height))
        fields = _fields(key, row - 1, rows.stop - row + 1, width, 1)  # slopes need one more row
        _classify(fields[:, 1:], limits, land.truth[rows])
        fill_cover(
            key,
            row,
            fields[_HEIGHT],
            limits[0],
            land.truth[rows],
            land.cover[rows],
            land.latents[:, rows],
            land.delay[rows],
            land.shade[rows],
        )
    return land


def _limits(key: np.uint64, shape: tuple[int, int]) -> NDArray[np.float64]:
    """The level above which each field gives its class, so that the classes have their shares.

    Computed on a sample of the country, class by class, each from the pixels left by the others.
    """
    step = max(1, math.isqrt(shape[0] * shape[1] // 60_000))
    fields = _fields(key, 0, -(-shape[0] // step), -(-shape[1] // step), step).reshape(9, -1)
    total = fields.shape[1]
    height, low = fields[_HEIGHT], np.quantile(fields[_HEIGHT], _SHARES["river_below"])
    lake = np.quantile(height, _SHARES["lake"])
    free = ~((height < lake) | ((fields[_RIVER] < 1) & (height < low)))
    limits = [low, lake]

    def claim(field: int, share: float, where: NDArray[np.bool_] | bool = True) -> None:
        nonlocal free
        candidates = np.sort(fields[field][free & where])[::-1]
        count = min(round(share * total), len(candidates) - 1)
        limits.append(candidates[count] if count >= 0 else np.inf)
        free = free & ~((fields[field] > limits[-1]) & where)

    claim(_ALPINE, _SHARES["snow"])
    claim(_ALPINE, _SHARES["rock"])
    claim(_ALPINE, _SHARES["high_shrub"])
    plain = height < low
    claim(_WET, _SHARES["flooded"], plain)
    claim(_TOWN, _SHARES["town"], plain)
    claim(_PIT, _SHARES["pit"])
    claim(_WOOD, _SHARES["wood"])
    claim(_HEATH, _SHARES["heath"])
    claim(_MEADOW, _SHARES["meadow"])
    return np.array(limits, np.float64)


@compiled
def _fields(key: np.uint64, row: int, height: int, width: int, step: int) -> NDArray[np.float32]:
    """Fields that classes are derived from, (9, height, width), at every ``step``-th pixel."""
    out = np.empty((9, height, width), np.float32)
    for i in range(height):
        for j in range(width):
            y, x = float(row + i * step), float(j * step)
            high = fractal(key + np.uint64(10), y, x, 330.0, 5)
            out[0, i, j] = high
            out[1, i, j] = high + 0.22 * fractal(key + np.uint64(20), y, x, 40.0, 3)
            river = _river(key, y, x)
            out[2, i, j] = river
            damp = max(math.exp(-0.28 * river), math.exp(-2.2 * (high + 1.6)))
            out[3, i, j] = min(damp, 1.0) + 0.4 * fractal(key + np.uint64(30), y, x, 55.0, 2)
            out[4, i, j] = _town(key, y, x) + 0.16 * fractal(key + np.uint64(40), y, x, 22.0, 2)
            out[5, i, j] = fractal(key + np.uint64(50), y, x, 60.0, 2)
            wood = fractal(key + np.uint64(60), y, x, 120.0, 4)
            out[6, i, j] = wood + 0.5 * high
            out[7, i, j] = fractal(key + np.uint64(70), y, x, 100.0, 3) + 0.5 * high
            out[8, i, j] = fractal(key + np.uint64(80), y, x, 130.0, 3) - 0.4 * wood
    return out


@compiled
def _river(key: np.uint64, y: float, x: float) -> float:
    """Distance from the centre line of the nearest river, in half widths of that river.

    The line is where a smooth field changes its sign, bent by a shorter field to make it meander.
    """
    bend = 9.0 * smooth(key + np.uint64(90), y / 37.0, x / 37.0)
    turn = 9.0 * smooth(key + np.uint64(91), y / 37.0, x / 37.0)
    v, u = y + bend, x + turn
    here = fractal(key + np.uint64(92), v, u, 380.0, 2)
    down = fractal(key + np.uint64(92), v + 2.0, u, 380.0, 2) - here
    right = fractal(key + np.uint64(92), v, u + 2.0, 380.0, 2) - here
    slope = math.sqrt(down * down + right * right) / 2.0
    half = 4.0 + 1.5 * smooth(key + np.uint64(95), y / 210.0, x / 210.0)
    return abs(here) / max(slope, 1e-6) / max(half, 1.5)


@compiled
def _town(key: np.uint64, y: float, x: float) -> float:
    """How far inside a town: 1 at its centre, 0 at its edge, negative outside."""
    cell = 150.0
    row, col = math.floor(y / cell), math.floor(x / cell)
    best = -9.0
    for i in range(row - 1, row + 2):
        for j in range(col - 1, col + 2):
            v = (i + uniform(key + np.uint64(100), i, j)) * cell
            u = (j + uniform(key + np.uint64(101), i, j)) * cell
            size = 14.0 + 52.0 * uniform(key + np.uint64(102), i, j) ** 2.5
            far = math.sqrt((y - v) * (y - v) + (x - u) * (x - u))
            best = max(best, 1.0 - far / size)
    return best


@compiled
def _classify(
    fields: NDArray[np.float32], limits: NDArray[np.float64], truth: NDArray[np.uint8]
) -> None:
    """Fill ``truth`` from the fields: the first class whose level is exceeded."""
    low, lake = limits[0], limits[1]
    for i in range(truth.shape[0]):
        for j in range(truth.shape[1]):
            high, alpine = fields[0, i, j], fields[1, i, j]
            plain = high < low
            if high < lake or (plain and fields[2, i, j] < 1):
                truth[i, j] = 0
            elif alpine > limits[2]:
                truth[i, j] = 8
            elif alpine > limits[3]:
                truth[i, j] = 7
            elif alpine > limits[4]:
                truth[i, j] = 5
            elif plain and fields[3, i, j] > limits[5]:
                truth[i, j] = 3
            elif plain and fields[4, i, j] > limits[6]:
                truth[i, j] = 6
            elif fields[5, i, j] > limits[7]:
                truth[i, j] = 7
            elif fields[6, i, j] > limits[8]:
                truth[i, j] = 1
            elif fields[7, i, j] > limits[9]:
                truth[i, j] = 5
            elif fields[8, i, j] > limits[10]:
                truth[i, j] = 2
            else:
                truth[i, j] = 4
