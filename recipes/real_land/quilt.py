"""Quilts: squares of single samples from anywhere, so that only the spectrum tells the class.

A network that sees only landscapes relies on shapes, and takes an even square for a field, the most
even thing it knows. A landscape also shows few samples, a quilt many.
"""

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import SNOW, Canvas
from recipes.real_land.samples import Source, fill_missing_radar, nan_median

SQUARE_SIZES_PX = (8, 16, 32, 64, 128, 256)
"""Possible sides of a sample's square, pixels."""

YEAR_SHARE = 0.15
"""Share of the squares that show the median of a year; the others show one month."""

SNOW_SHARE = 0.02
"""Share of the squares under snow."""


def make_quilt(
    rng: np.random.Generator, source: Source, size: int, odds: NDArray[np.float64]
) -> tuple[Canvas, NDArray[np.float32]]:
    """Make a quilt: a canvas of squares and the sample of every pixel.

    Args:
        rng: source of all random draws.
        source: source of the samples.
        size: side of the quilt, pixels.
        odds: (P,) odds of each place.

    Returns:
        The canvas, which holds only classes and zero roughness, and (11, N, N) DN and decibels.

    """
    side = int(rng.choice(SQUARE_SIZES_PX))
    begin = rng.integers(side, size=2) if side < size else (0, 0)
    row, col = ((np.arange(size) + first) // side for first in begin)
    square = row[:, None] * (int(col[-1]) + 1) + col
    spectra, cover = _draw_samples(rng, source, odds, int(square[-1, -1]) + 1)
    canvas = Canvas.blank(size)
    canvas.label[:] = cover[square]
    canvas.rough[:] = 0
    return canvas, np.ascontiguousarray(spectra[square].transpose(2, 0, 1), np.float32)


def _draw_samples(
    rng: np.random.Generator, source: Source, odds: NDArray[np.float64], count: int
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Draw spectra (count, 11), without gaps, and their classes."""
    points = source.points
    place = rng.choice(len(points), count, p=odds)
    month = (source.seen[place] * rng.random((count, 12))).argmax(1)
    spectra = points.clear[place, month]
    year = rng.random(count) < YEAR_SHARE
    spectra[year] = nan_median(points.clear[place[year]])
    cover = points.label[place].astype(np.intp)
    cold = np.argwhere(source.snowy)
    for i in np.flatnonzero(rng.random(count) < SNOW_SHARE * bool(len(cold))):
        spectra[i] = points.snowy[tuple(cold[rng.integers(len(cold))])]
        cover[i] = SNOW
    return fill_missing_radar(spectra, cover), cover
