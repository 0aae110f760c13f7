"""Land without people: regions, savanna, wetlands, rivers."""

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import FLOODED, GRASS, SHRUB, SNOW, TREES, WATER, Canvas
from recipes.real_land.noise import coordinates, fractal, smooth, smooth_line

KINDS_PER_CLASS = 3
"""Kinds of ground a class may have in one landscape."""


def add_regions(canvas: Canvas, rng: np.random.Generator, shares: NDArray[np.float64]) -> None:
    """Cover the land with classes, each where its own noise is highest.

    Args:
        canvas: of which everything is covered.
        rng: draws the shapes.
        shares: (K,) how much each class is wanted; 0 leaves it out.

    """
    size = canvas.size
    wavelength = float(np.exp(rng.uniform(np.log(25), np.log(160))))
    there = np.flatnonzero(shares > 0)
    heights = []
    for cover in there:
        own = wavelength * np.exp(rng.normal(0, 0.25))
        octaves = 2 if rng.random() < 0.3 else 5
        heights.append(fractal(rng, size, own, octaves=octaves) + 1.1 * np.log(shares[cover]))
    label = there[np.argmax(np.stack(heights), 0)]
    kinds = np.digitize(fractal(rng, size, rng.uniform(20, 90)), (-0.5, 0.7)[: KINDS_PER_CLASS - 1])
    twins = 1 / (1 + np.exp(-2 * fractal(rng, size, rng.uniform(6, 30), octaves=3)))
    for cover in there:
        first = canvas.patches(int(cover), 2 * KINDS_PER_CLASS)
        where = label == cover
        canvas.paint(
            where,
            int(cover),
            first + kinds,
            second=first + KINDS_PER_CLASS + kinds,
            share=(0.7 * twins).astype(np.float32),
        )
    canvas.rough[label == WATER] = 0


def add_savanna(canvas: Canvas, rng: np.random.Generator) -> None:
    """Scatter trees and bushes over grass and shrub: crowns of a pixel or two, thick and thin.

    Where crowns cover more than half of the ground it is woodland, as an annotator would say.
    """
    size = canvas.size
    open_land = np.isin(canvas.label, (GRASS, SHRUB))
    cover = 1 / (
        1 + np.exp(-1.5 * (fractal(rng, size, rng.uniform(20, 80)) - rng.uniform(-0.2, 2)))
    )
    crown = smooth(rng, size, rng.uniform(2, 3.5))
    shaded = 1 / (1 + np.exp(-4 * (crown - _normal_quantile(1 - cover))))
    bushes = rng.random() < 0.35
    patch = canvas.patches(SHRUB if bushes else TREES, 3)
    kind = patch + np.digitize(smooth(rng, size, 30), (-0.5, 0.5))
    share = (shaded * rng.uniform(0.5, 0.95)).astype(np.float32)
    canvas.mix(open_land, kind, share)
    if not bushes:
        canvas.label[open_land & (cover > 0.5)] = TREES
    elif rng.random() < 0.5:
        canvas.label[open_land] = np.where(cover[open_land] > 0.4, SHRUB, GRASS)


def add_twigs(canvas: Canvas, rng: np.random.Generator) -> None:
    """Let dark twigs and stems stand out of the snow; it stays snow while it covers the ground."""
    size, snow = canvas.size, canvas.label == SNOW
    bare = fractal(rng, size, rng.uniform(15, 60)) + 0.3 * smooth(rng, size, 3)
    share = (rng.uniform(0.2, 0.8) / (1 + np.exp(-3 * (bare - rng.uniform(-0.3, 1))))).astype("f4")
    canvas.mix(snow, canvas.patches(TREES), share)
    canvas.label[snow & (share > 0.65)] = TREES


def _normal_quantile(share: NDArray[np.floating]) -> NDArray[np.floating]:
    """Of a normal distribution, nearly (Tukey's lambda)."""
    share = share.clip(1e-3, 1 - 1e-3)
    return (share**0.135 - (1 - share) ** 0.135) / 0.1975


def add_shores(canvas: Canvas, rng: np.random.Generator) -> None:
    """Reeds and marsh between water and land, here and there."""
    size, water = canvas.size, (canvas.label == WATER).astype(np.float32)
    if not water.any():
        return
    wide = int(rng.integers(1, 9))
    near = _box_mean(water, wide) > 0.02
    where = near & (water == 0) & (fractal(rng, size, 40) > rng.uniform(-0.5, 1))
    first = canvas.patches(FLOODED, 2)
    share = 0.8 / (1 + np.exp(-2 * smooth(rng, size, 8)))
    canvas.paint(where, FLOODED, first, second=first + 1, share=share.astype(np.float32))
    canvas.rough[where] = 0


def _box_mean(mask: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """A box's mean of ``2 * reach + 1`` pixels a side."""
    for axis in (0, 1):
        width = [(0, 0), (0, 0)]
        width[axis] = (reach + 1, reach)
        total = np.cumsum(np.pad(mask, width, mode="edge"), axis, dtype=np.float64)
        length = mask.shape[axis]
        ahead = np.take(total, np.arange(length) + 2 * reach + 1, axis)
        mask = ((ahead - np.take(total, np.arange(length), axis)) / (2 * reach + 1)).astype("f4")
    return mask


def distance_to_line(
    rng: np.random.Generator, size: int, *, bend: float, wavelength: float
) -> NDArray[np.float32]:
    """How far each pixel is from a line that crosses the square, pixels.

    Args:
        rng: draws the line.
        size: pixels a side.
        bend: how far it strays from straight, pixels.
        wavelength: of its bends, pixels.

    """
    u, v = coordinates(size, rng.uniform(0, np.pi))
    reach = 2 * size
    course = rng.uniform(-size / 3, size / 3) + bend * smooth_line(rng, reach, wavelength)
    place = (u + size).clip(0, reach - 1).astype(np.int32)
    slope = np.gradient(course)
    return np.abs(v - course[place]) / np.sqrt(1 + slope[place] ** 2)


def add_river(canvas: Canvas, rng: np.random.Generator) -> None:
    """Water that winds through, often with trees along it."""
    bend = float(np.exp(rng.uniform(np.log(3), np.log(25))))
    far = distance_to_line(rng, canvas.size, bend=bend, wavelength=rng.uniform(2, 5) * bend + 12)
    half = float(np.exp(rng.uniform(np.log(0.4), np.log(9))))
    far = far + 0.3 * half * smooth(rng, canvas.size, 12)
    if rng.random() < 0.6:
        wood = (far < half + rng.uniform(0.5, 4)) & (smooth(rng, canvas.size, 15) > -0.3)
        canvas.paint(wood, TREES, canvas.patches(TREES), second=canvas.patches(TREES), share=0.3)
    first = canvas.patches(WATER)
    canvas.mix(far < half + 0.8, first, (half + 0.8 - far).clip(0, 1).astype(np.float32))
    canvas.paint(far < half, WATER, first)
    canvas.rough[far < half] = 0
