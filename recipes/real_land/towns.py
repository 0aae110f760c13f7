"""Towns and villages: streets, blocks, roofs, gardens and parks; roads and farms between them."""

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import BARE, BUILT, GRASS, TREES, WATER, Canvas
from recipes.real_land.nature import distance_to_line
from recipes.real_land.noise import coordinates, fractal, smooth
from recipes.real_land.samples import N_OPTICAL

N_ROOFS, N_GARDENS = 10, 6
"""Numbers of roof and garden samples of a settlement."""


FAINT_SHARE = 0.35
"""Share of the landscapes whose towns radar does not tell from the land around them."""


def add_town(canvas: Canvas, rng: np.random.Generator, *, share: float) -> None:
    """Build a town on part of the land; all of it but the parks is labelled built.

    Args:
        canvas: canvas to build on; water stays.
        rng: source of all random draws.
        share: share of the square to build on.

    """
    size = canvas.size
    wavelength = rng.uniform(40, 140) if share > 0.1 else rng.uniform(12, 40)
    height = fractal(rng, size, wavelength, octaves=4 if share > 0.1 else 3)
    if rng.random() < 0.5:  # houses along a road: the smaller the place, the more elongated
        far = distance_to_line(rng, size, bend=rng.uniform(0, 15), wavelength=70)
        height = height - (far / rng.uniform(3, 8 + 60 * share)).clip(0, 6)
    where = (height > np.quantile(height, 1 - share)) & (canvas.label != WATER)
    parks = where & (fractal(rng, size, rng.uniform(8, 25)) > rng.uniform(1.3, 2.2))
    street, block, density = _lay_streets(rng, size)
    roofs = canvas.patches(BUILT, N_ROOFS)
    gardens = canvas.patches(GRASS, N_GARDENS // 3)
    canvas.patches(TREES, N_GARDENS // 3)
    canvas.patches(BARE, N_GARDENS // 3)
    count = int(block.max()) + 1
    # each block has its own roof, with some different houses, or it would look like a field
    other = rng.random((size, size), np.float32) < (0.5 if share > 0.03 else 0.2)
    kind = rng.integers(1, N_ROOFS, count)[block]
    roof = roofs + np.where(other, rng.integers(1, N_ROOFS, (size, size)), kind)
    garden = gardens + rng.integers(0, N_GARDENS, count)[block]
    # pixel by pixel: a roof, a lawn, a yard or a mixture
    green = 1 - density[block] + rng.uniform(0.15, 0.55) * smooth(rng, size, 2)
    green = np.where(street, rng.uniform(0.05, 0.3), green).clip(0, 0.85)
    first = np.where(street, roofs, roof)
    inner = where & ~parks
    # farmsteads and hamlets are labelled as houses, towns as towns
    named = inner if share > 0.03 else inner & (green < 0.7)
    canvas.mix(inner, first, 1 - green.astype(np.float32))
    canvas.paint(named, BUILT, first, second=garden, share=green.astype(np.float32))
    for cover, at in ((GRASS, parks & (rng.random() < 0.5)), (TREES, parks)):
        at = at & (canvas.label != BUILT)
        canvas.paint(at, cover, canvas.patches(cover), second=canvas.patches(cover), share=0.3)
    canvas.rough[where] *= 0.2


def _lay_streets(
    rng: np.random.Generator, size: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
    """Mask of the streets, number of each pixel's block, and density of each block.

    Each district has its own grid: angle, block size and density.
    """
    districts = np.digitize(fractal(rng, size, 70, octaves=2), (-0.4, 0.5))
    street = np.zeros((size, size), np.bool_)
    block = np.zeros((size, size), np.int64)
    densities: list[NDArray[np.float64]] = []
    base = rng.uniform(0.4, 0.8)
    for district in range(3):
        u, v = coordinates(size, rng.uniform(0, np.pi))
        bend = rng.uniform(0, 6)
        u, v = u + bend * smooth(rng, size, 40), v + bend * smooth(rng, size, 40)
        industry = rng.random() < 0.2
        sides = rng.uniform(8, 25, 2) if industry else rng.uniform(3, 12, 2)
        col, row = np.floor(u / sides[0]), np.floor(v / sides[1])
        on = (u - col * sides[0] < 1) | (v - row * sides[1] < 1)
        key = ((row - row.min()) * (np.ptp(col) + 1) + col - col.min()).astype(np.int64)
        here = districts == district
        street[here] = on[here]
        block[here] = key[here] + sum(map(len, densities))
        spread = rng.normal(base + (0.2 if industry else 0), 0.12, int(key.max()) + 1)
        densities.append(spread.clip(0.25, 1))
    return street, block, np.concatenate(densities)


def add_road(canvas: Canvas, rng: np.random.Generator) -> None:
    """Add a road, narrower than a pixel or a little wider."""
    far = distance_to_line(rng, canvas.size, bend=rng.uniform(0, 12), wavelength=80)
    half = rng.uniform(0.25, 1.0)
    patch = canvas.patches(BUILT)
    share = (half + 0.5 - far).clip(0, 1) * rng.uniform(0.5, 1)
    where = (share > 0) & (canvas.label != WATER)
    canvas.mix(where, patch, share.astype(np.float32))
    canvas.label[where & (share > 0.7)] = BUILT


def add_farms(canvas: Canvas, rng: np.random.Generator) -> None:
    """Scatter a few houses with trees around them over the land."""
    size = canvas.size
    for _ in range(int(rng.integers(1, 9))):
        row, col = rng.integers(0, size - 6, 2)
        height, width = rng.integers(1, 5, 2)
        wood = np.zeros((size, size), np.bool_)
        wood[row : row + height + 2, col : col + width + 2] = rng.random() < 0.5
        house = np.zeros((size, size), np.bool_)
        house[row + 1 : row + 1 + height, col + 1 : col + 1 + width] = True
        dry = canvas.label != WATER
        canvas.paint(wood & dry, TREES, canvas.patches(TREES))
        green = rng.uniform(0, 0.5)
        canvas.paint(
            house & dry, BUILT, canvas.patches(BUILT), second=canvas.patches(GRASS), share=green
        )


def fade_towns(
    rng: np.random.Generator, spectra: NDArray[np.float32], covers: NDArray[np.integer]
) -> None:
    """Give the towns of some landscapes the radar of the land around them, in place.

    In dry land with low houses of earth, and where streets lie across the radar's look, towns are
    no brighter than fields.

    Args:
        rng: source of all random draws.
        spectra: (P, 11) spectrum of each patch, radar in decibels.
        covers: (P,) class or material of each patch.

    """
    if rng.random() >= FAINT_SHARE:
        return
    towns = np.flatnonzero(covers == BUILT)
    others = np.flatnonzero((covers != BUILT) & np.isfinite(spectra).all(1))
    if len(towns) and len(others):
        middle = np.median(spectra[others, N_OPTICAL:], 0)
        own = spectra[towns, N_OPTICAL:]
        strength = rng.uniform(0.6, 1)
        spectra[towns, N_OPTICAL:] = own + strength * (middle - np.median(own, 0))
