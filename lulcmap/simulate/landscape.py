"""The land: which class is where, what covers each pixel, and how one field differs from the next.

The truth is regional: a town is built, its gardens and parks too; a wood is trees, with its
clearings. What a pixel shows (its cover) is often another class, as on real ground at 10 m, so that a
pixel alone tells little and its surroundings tell much.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.compiled import compiled
from lulcmap.simulate.noise import fractal, mixed, normal, smooth, uniform

PLACE, TEXTURE = 4, 2
"""How many numbers tell a place (a field, a stand of trees) and a pixel in it from their class."""

STEADY = 36.0
"""Latents are stored as whole 36ths of a standard deviation in int8: within +-3.5."""

SHARES = {
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
"""Parts of the country; what is left is crops. Rivers lie below that quantile of the heights."""

_WATER, _TREES, _GRASS, _FLOODED, _CROPS, _SHRUB, _BUILT, _BARE, _SNOW = range(9)
_HEIGHT, _ALPINE, _RIVER, _WET, _TOWN, _PIT, _WOOD, _HEATH, _MEADOW = range(9)

_BAND = 256
"""Rows made at a time: bounds the memory of the fields."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What stays the same from date to date. All arrays (H, W) unless said."""

    truth: NDArray[np.uint8]
    """Class of the region, 0 to 8: the map to be found."""

    cover: NDArray[np.uint8]
    """Class whose statistics the pixel follows, 0 to 8."""

    latents: NDArray[np.int8]
    """(PLACE + TEXTURE, H, W) standard normal numbers times ``STEADY``."""

    delay: NDArray[np.int8]
    """Ten-day steps by which a field's season is late."""

    shade: NDArray[np.int8]
    """Hundredths of ln reflectance added by the slope that faces the sun, or not."""


def ground(seed: int, shape: tuple[int, int]) -> Ground:
    """A country's land.

    Args:
        seed: any 64 bits; the same seed gives the same land.
        shape: height, width, pixels of 10 m.

    """
    height, width = shape
    key = np.uint64(seed)
    limits = _limits(key, shape)
    land = Ground(
        truth=np.empty(shape, np.uint8),
        cover=np.empty(shape, np.uint8),
        latents=np.empty((PLACE + TEXTURE, *shape), np.int8),
        delay=np.zeros(shape, np.int8),
        shade=np.zeros(shape, np.int8),
    )
    for row in range(0, height, _BAND):
        rows = slice(row, min(row + _BAND, height))
        fields = _fields(key, row, rows.stop - row, width, 1)
        _classify(fields, limits, land.truth[rows])
        _settle(
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
    """The levels at which each field becomes its class, so that the classes have their shares.

    Found on a sample of the country, class by class, each among what the ones before left.
    """
    step = max(1, math.isqrt(shape[0] * shape[1] // 60_000))
    fields = _fields(key, 0, -(-shape[0] // step), -(-shape[1] // step), step).reshape(9, -1)
    total = fields.shape[1]
    height, low = fields[_HEIGHT], np.quantile(fields[_HEIGHT], SHARES["river_below"])
    lake = np.quantile(height, SHARES["lake"])
    free = ~((height < lake) | ((fields[_RIVER] < 1) & (height < low)))
    limits = [low, lake]

    def claim(field: int, share: float, where: NDArray[np.bool_] | bool = True) -> None:
        nonlocal free
        candidates = np.sort(fields[field][free & where])[::-1]
        count = min(round(share * total), len(candidates) - 1)
        limits.append(candidates[count] if count >= 0 else np.inf)
        free = free & ~((fields[field] > limits[-1]) & where)

    claim(_ALPINE, SHARES["snow"])
    claim(_ALPINE, SHARES["rock"])
    claim(_ALPINE, SHARES["high_shrub"])
    plain = height < low
    claim(_WET, SHARES["flooded"], plain)
    claim(_TOWN, SHARES["town"], plain)
    claim(_PIT, SHARES["pit"])
    claim(_WOOD, SHARES["wood"])
    claim(_HEATH, SHARES["heath"])
    claim(_MEADOW, SHARES["meadow"])
    return np.array(limits, np.float64)


@compiled
def _fields(key: np.uint64, row: int, height: int, width: int, step: int) -> NDArray[np.float32]:
    """(9, height, width) the fields that classes are cut from, at every ``step``-th pixel."""
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
    """Distance from the nearest river's middle line, in half widths of that river.

    The line is where a smooth field changes its sign, bent by a shorter one so that it meanders.
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
    """How far inside a town: 1 in its middle, 0 at its edge, below outside."""
    cell = 150.0
    row, col = int(math.floor(y / cell)), int(math.floor(x / cell))
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
    """Fill ``truth`` from the fields: the first class whose level is passed."""
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


@compiled
def _district(key: np.uint64, y: float, x: float, cell: float) -> np.uint64:
    """Random bits of the district (a Voronoi cell of jittered points) a pixel lies in."""
    row, col = int(math.floor(y / cell)), int(math.floor(x / cell))
    best, bits = 1e18, key
    for i in range(row - 1, row + 2):
        for j in range(col - 1, col + 2):
            v = (i + uniform(key, i, j)) * cell - y
            u = (j + uniform(key + np.uint64(1), i, j)) * cell - x
            if v * v + u * u < best:
                best = v * v + u * u
                bits = mixed(key + np.uint64(2), i, j)
    return bits


@compiled
def _plot(
    bits: np.uint64, y: float, x: float, small: float, large: float
) -> tuple[np.uint64, float, float, float]:
    """The plot of a district a pixel lies in: rectangles in rows, like bricks.

    Args:
        bits: of the district; they decide its direction and the size of its plots.
        y: row, pixels.
        x: column, pixels.
        small: least length of a plot's short side, pixels.
        large: greatest.

    Returns:
        Random bits of the plot, position across it (pixels), distance to its nearest long side and
        to its nearest short side (pixels).

    """
    angle = math.pi * uniform(bits, 1, 0)
    short = small + (large - small) * uniform(bits, 2, 0)
    long = short * (1.3 + 1.5 * uniform(bits, 3, 0))
    across = math.cos(angle) * y - math.sin(angle) * x
    along = math.sin(angle) * y + math.cos(angle) * x
    line = math.floor(across / short)
    along = along / long + uniform(bits, 4, int(line))
    place = math.floor(along)
    v, u = across - line * short, (along - place) * long
    return (
        mixed(bits + np.uint64(7), int(line), int(place)),
        v,
        min(v, short - v),
        min(u, long - u),
    )


@compiled
def _settle(
    key: np.uint64,
    first: int,
    height: NDArray[np.float32],
    low: float,
    truth: NDArray[np.uint8],
    cover: NDArray[np.uint8],
    latents: NDArray[np.int8],
    delay: NDArray[np.int8],
    shade: NDArray[np.int8],
) -> None:
    """Fill in what grows or stands on each pixel, its latents, its season and its slope."""
    rows, cols = truth.shape
    place = np.empty(PLACE)
    texture = np.empty(TEXTURE)
    for i in range(rows):
        for j in range(cols):
            y, x = float(first + i), float(j)
            kind = truth[i, j]
            for k in range(PLACE):
                place[k] = fractal(key + np.uint64(200 + 8 * k), y, x, 55.0, 2)
            for k in range(TEXTURE):
                texture[k] = 0.8 * normal(key + np.uint64(240 + k), first + i, j)
                texture[k] += 0.6 * smooth(key + np.uint64(250 + k), y / 3.1, x / 3.1)
            if kind == 4:
                cover[i, j] = _farm(key, y, x, place, texture, delay[i : i + 1, j])
            elif kind == 6:
                cover[i, j] = _street(key, y, x, place, texture)
            else:
                cover[i, j] = _wild(key, y, x, kind)
            if cover[i, j] == 0:  # lakes and rivers differ less within a country than world-wide
                for k in range(PLACE):
                    place[k] *= 0.5
            for k in range(PLACE):
                latents[k, i, j] = max(-127.0, min(127.0, place[k] * STEADY))
            for k in range(TEXTURE):
                latents[PLACE + k, i, j] = max(-127.0, min(127.0, texture[k] * STEADY))
            if high_enough(height[i, j], low):
                up, left = max(i, 1), max(j, 1)
                rise = height[up, left] - height[up - 1, left]
                rise += height[up, left] - height[up, left - 1]
                steep = min(1.0, (height[i, j] - low + 0.5) * 1.5)
                shade[i, j] = max(-60.0, min(45.0, 1500.0 * rise * steep))


@compiled
def high_enough(height: float, low: float) -> bool:
    """Whether land is hilly: from half a unit below the river limit upwards."""
    return height > low - 0.5


@compiled
def _farm(
    key: np.uint64,
    y: float,
    x: float,
    place: NDArray[np.float64],
    texture: NDArray[np.float64],
    delay: NDArray[np.int8],
) -> int:
    """Cover of a pixel of farmland: one crop a plot, in rows; fallow, ley and hedges between."""
    district = _district(key + np.uint64(300), y, x, 120.0)
    bits, across, side, end = _plot(district, y, x, 9.0, 24.0)
    for k in range(PLACE):
        place[k] = normal(bits, 10 + k, 0)
    period = 2.6 + 2.2 * uniform(bits, 20, 0)
    texture[0] = 0.55 * texture[0] + 1.5 * math.sin(6.2832 * across / period)
    texture[1] = 0.55 * texture[1]
    delay[0] = int(6.0 * uniform(bits, 21, 0) - 3.0)
    if min(side, end) < 0.8 and uniform(district, 30, 0) < 0.35:
        return 1  # a hedge
    use = uniform(bits, 22, 0)
    if use < 0.08:
        return 7
    return 2 if use < 0.20 else 4


@compiled
def _street(
    key: np.uint64,
    y: float,
    x: float,
    place: NDArray[np.float64],
    texture: NDArray[np.float64],
) -> int:
    """Cover of a pixel of a town: blocks of houses and gardens in a grid of streets."""
    district = _district(key + np.uint64(400), y, x, 70.0)
    bits, _, side, end = _plot(district, y, x, 6.0, 11.0)
    for k in range(PLACE):
        place[k] = 0.6 * place[k] + 0.8 * normal(bits, 10 + k, 0)
    if min(side, end) < 0.55:
        texture[0] = -1.2
        return 6  # a street
    use = uniform(bits, 20, 0)
    spot = uniform(key + np.uint64(410), int(y), int(x))
    if use < 0.12:  # a park
        return 1 if spot < 0.4 else 2
    if use < 0.24:  # halls and yards
        texture[0] += 1.0
        return 7 if spot < 0.35 else 6
    for k in range(PLACE):  # houses: every pixel another roof or garden
        place[k] = 0.6 * place[k] + 0.8 * normal(key + np.uint64(420 + k), int(y), int(x))
    if spot < 0.42:
        return 6
    if spot < 0.62:
        return 2
    if spot < 0.78:
        return 1
    return 7 if spot < 0.88 else 5


@compiled
def _wild(key: np.uint64, y: float, x: float, kind: int) -> int:
    """Cover of a pixel of land that is neither farmed nor built: clumps, pools, clearings."""
    patch = fractal(key + np.uint64(500), y, x, 26.0, 2)
    clump = 0.75 * smooth(key + np.uint64(510), y / 3.7, x / 3.7) + 0.65 * normal(
        key + np.uint64(511), int(y), int(x)
    )
    if kind == 0:
        return 3 if patch + 0.3 * clump > 1.75 else 0
    if kind == 1:
        if patch > 1.25:
            return 2 if clump > 0 else 5
        return 5 if clump > 1.6 else 1
    if kind == 2:
        if patch > 1.3:
            return 4
        if patch < -1.7:
            return 7
        return 1 if clump > 1.7 else 5 if clump < -1.4 else 2
    if kind == 3:
        if clump + 0.5 * patch > 1.15:
            return 0
        return 1 if clump < -1.3 else 2 if patch < -0.9 else 3
    if kind == 5:
        if clump > 1.0:
            return 1
        return 2 if clump < -1.0 else 7 if patch > 1.4 else 5
    if kind == 7:
        if patch > 1.2:
            return 2 if clump > 0 else 5
        return 5 if clump > 1.4 else 7
    return 7 if clump + 0.8 * patch > 1.5 else 8
