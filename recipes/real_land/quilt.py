"""Single samples side by side, from anywhere: what a spectrum alone tells, where no shape does.

A network that sees landscapes only leans on their shapes, and takes a sample that is shown without
any for what has none there: even, so a field. And a landscape shows few samples, a quilt many.
"""

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import SNOW, Canvas
from recipes.real_land.samples import Source, fill_missing_radar, nan_median

SQUARE_SIZES_PX = (8, 16, 32, 64, 128, 256)
"""Pixels a side of a sample's square."""

YEAR_SHARE = 0.15
"""Share of the squares that show the median of a year; the others show a month."""

SNOW_SHARE = 0.02
"""Share of the squares that lie under snow."""


def make_quilt(
    rng: np.random.Generator, source: Source, size: int, odds: NDArray[np.float64]
) -> tuple[Canvas, NDArray[np.float32]]:
    """Classes, and a sample in every pixel.

    Args:
        rng: draws them.
        source: of the samples.
        size: pixels a side.
        odds: (P,) how likely each place is shown.

    Returns:
        The canvas, of which only classes and roughness (none) count, and (11, N, N) DN and
        decibels.

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
    """Spectra (count, 11) without gaps and their classes."""
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
