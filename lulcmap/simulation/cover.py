"""The cover of each pixel of a region, and how the pixel differs from the rest of its class.

A town has gardens and parks, a wood has clearings, a field may lie fallow: a pixel often shows
another class than its region's, so a single pixel says little and its surroundings say much.
"""

import math

import numpy as np
from numpy.typing import NDArray

from lulcmap.simulation.noise import fractal, mixed, normal, smooth, uniform
from lulcmap.system import compiled

N_PLACE, N_TEXTURE = 4, 2
"""Number of latents of a place (a field, a stand of trees) and of a pixel in it."""

LATENT_SCALE = 36.0
"""Scale of latents stored in int8: whole 36ths of a standard deviation, within +-3.5."""


@compiled
def _district(key: np.uint64, y: float, x: float, cell: float) -> np.uint64:
    """Random bits of a pixel's district (a Voronoi cell of jittered points)."""
    row, col = math.floor(y / cell), math.floor(x / cell)
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
    """The plot of a pixel in its district: rectangles in rows, like bricks.

    Args:
        bits: random bits of the district; they set its direction and the size of its plots.
        y: row, pixels.
        x: column, pixels.
        small: least length of a plot's short side, pixels.
        large: greatest length of a plot's short side, pixels.

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
def fill_cover(
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
    """Fill in the cover of each pixel, its latents, its season and its slope.

    Args:
        key: random bits of the land.
        first: first row of the arrays, in the country.
        height: (h + 1, w) height of the land and of the row above, mean 0, deviation about 1.
        low: height below which rivers run.
        truth: (h, w) class of the region.
        cover: (h, w), filled as described by ``Land``, like all arrays below.
        latents: (N_PLACE + N_TEXTURE, h, w), filled.
        delay: (h, w), filled.
        shade: (h, w), filled.

    """
    rows, cols = truth.shape
    place = np.empty(N_PLACE)
    texture = np.empty(N_TEXTURE)
    for i in range(rows):
        for j in range(cols):
            y, x = float(first + i), float(j)
            kind = truth[i, j]
            for k in range(N_PLACE):
                place[k] = fractal(key + np.uint64(200 + 8 * k), y, x, 55.0, 2)
            for k in range(N_TEXTURE):
                texture[k] = 0.8 * normal(key + np.uint64(240 + k), first + i, j)
                texture[k] += 0.6 * smooth(key + np.uint64(250 + k), y / 3.1, x / 3.1)
            if kind == 4:
                cover[i, j] = _farm(key, y, x, place, texture, delay[i : i + 1, j])
            elif kind == 6:
                cover[i, j] = _street(key, y, x, place, texture)
            else:
                cover[i, j] = _wild(key, y, x, kind)
            for k in range(N_PLACE):
                latents[k, i, j] = max(-127.0, min(127.0, place[k] * LATENT_SCALE))
            for k in range(N_TEXTURE):
                latents[N_PLACE + k, i, j] = max(-127.0, min(127.0, texture[k] * LATENT_SCALE))
            if height[i + 1, j] > low - 0.5:  # hills begin a little below the last rivers
                left = max(j, 1)
                rise = height[i + 1, left] - height[i, left]
                rise += height[i + 1, left] - height[i + 1, left - 1]
                steep = min(1.0, (height[i + 1, j] - low + 0.5) * 1.5)
                shade[i, j] = max(-60.0, min(45.0, -1500.0 * rise * steep))


@compiled
def _farm(
    key: np.uint64,
    y: float,
    x: float,
    place: NDArray[np.float64],
    texture: NDArray[np.float64],
    delay: NDArray[np.int8],
) -> int:
    """Cover of a pixel of farmland: one crop per plot, in rows, with fallow, ley and hedges."""
    district = _district(key + np.uint64(300), y, x, 120.0)
    bits, across, side, end = _plot(district, y, x, 9.0, 24.0)
    for k in range(N_PLACE):
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
    """Cover of a pixel of a town: blocks of houses and gardens in a street grid."""
    district = _district(key + np.uint64(400), y, x, 70.0)
    bits, _, side, end = _plot(district, y, x, 6.0, 11.0)
    for k in range(N_PLACE):
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
    for k in range(N_PLACE):  # houses: each pixel is another roof or garden
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
    """Cover of a pixel that is neither farmed nor built: clumps, pools, clearings."""
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
