"""Materials of the wild landscapes: pools of real spectra, chosen by class and greenness.

The first nine materials are Dynamic World's classes, so that fields, towns and rivers of the other
landscapes can be drawn too. The others are parts of them. Deserts come from Africa's points that
are not crops and green in no half of the year; they have no radar, so it is lent by the points of
WorldCover whose optical spectra are most alike.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.sensors import S2_BANDS
from recipes.real_land.canvas import (
    BARE,
    BUILT,
    CROPS,
    FLOODED,
    GRASS,
    SHRUB,
    SNOW,
    TREES,
    WATER,
)
from recipes.real_land.points import Points, held_out_points, load_points
from recipes.real_land.regional_points import (
    NOT_CROPS,
    RegionalPoints,
    load_africa,
    load_lesotho,
)
from recipes.real_land.samples import N_OPTICAL, fill_missing_radar

SAND, STONE, ROCK, SALT, DRY_SHRUB, DRY_GRASS, STEPPE, MUD, STUBBLE = range(9, 18)
"""Materials besides the classes."""

CLASS_OF = {
    **{number: number for number in range(9)},
    **{SAND: BARE, STONE: BARE, ROCK: BARE, SALT: BARE, MUD: BARE},
    **{DRY_SHRUB: SHRUB, DRY_GRASS: GRASS, STEPPE: GRASS, STUBBLE: CROPS},
}
"""Class of each material where nothing else is said."""

SALT_TINT = np.array([1.7, 1.5, 1.3, 1.25, 1.2, 1.15, 1.1, 0.5, 0.4], np.float32)
"""What makes pale sand look like salt, where a side has no real salt: wet, so dark in the
short-wave infrared."""

MIN_POOL = 4
"""Spectra below which a pool is made up from its neighbours."""

SAND_SWIR_DN = 4800
"""B12 from which desert ground is called sand."""

ROCK_SWIR_DN = 2600
"""B12 below which it is dark rock."""

MAX_RADAR_DB = (-3.0, -9.0)
"""VV and VH that no natural ground exceeds; single pixels of the points do, on slopes or masts."""

N_KINDS = 30
"""Spectra of a material that one landscape chooses from."""

LIKENESS = 0.35
"""Difference of logarithms of reflectance at which spectra become unlikely in one landscape."""

B03, B04, B08, B11, B12 = (S2_BANDS.index(band) for band in ("B03", "B04", "B08", "B11", "B12"))

Pool = NDArray[np.float32]
"""Spectra (N, 11), DN and decibels, NaN for radar that is missing."""


@dataclass(frozen=True)
class Materials:
    """Pools of spectra of one side: of points that train, or of held-out ones."""

    pools: Mapping[int, Pool]
    """Spectra of each material."""

    def palette(self, rng: np.random.Generator, base: int) -> dict[int, Pool]:
        """Spectra of every material for one landscape, alike within each material.

        Args:
            rng: source of all random draws.
            base: material whose spectra decide what is alike.

        """
        ground = _logarithm(self.pools[base], rng)
        chosen = {}
        for material, spectra in self.pools.items():
            # ground is of one colour all over; what grows or stands on it has a colour of its own
            is_ground = CLASS_OF[material] in (BARE, SHRUB, GRASS)
            anchor = ground if is_ground else _logarithm(spectra, rng)
            near = LIKENESS * (3 if material in (CROPS, BUILT) else 1)
            far = np.log(np.maximum(spectra[:, :N_OPTICAL], 1)) - anchor
            odds = np.exp(-((far**2).mean(1)) / near**2) + 1e-6
            rows = rng.choice(len(spectra), N_KINDS, p=odds / odds.sum())
            chosen[material] = fill_missing_radar(
                spectra[rows], np.full(N_KINDS, CLASS_OF[material], np.intp)
            )
        return chosen


def _logarithm(pool: Pool, rng: np.random.Generator) -> NDArray[np.float32]:
    """Logarithm of the optical spectrum of one of a pool, (9,)."""
    return np.log(np.maximum(pool[rng.integers(len(pool)), :N_OPTICAL], 1))


def load_materials(folder: Path, *, held_out: bool) -> Materials:
    """Make the pools of the points that train, or of those that are held out.

    Args:
        folder: folder ``points`` of the data.
        held_out: which of the two sides.

    """
    points = held_out_points(load_points(folder))[held_out]
    lesotho, africa = (
        side[side.held_out == held_out] for side in (load_lesotho(folder), load_africa(folder))
    )
    pools = _of_classes(points, lesotho)
    donors = np.concatenate([pools[cover] for cover in (BARE, SHRUB, GRASS)])
    donors = donors[np.isfinite(donors).all(1)]
    pools |= _of_deserts(africa, donors)
    pools[DRY_GRASS] = _at_least(_dry(pools[GRASS], below=0.35), pools[GRASS])
    pools[STEPPE] = _at_least(pools[STEPPE], pools[DRY_GRASS])
    pools[STUBBLE] = _at_least(_dry(pools[CROPS], below=0.3), pools[CROPS])
    pools[DRY_SHRUB] = np.concatenate([_dry(pools[SHRUB], below=0.3), pools[DRY_SHRUB]])
    pools[MUD] = _mud(pools[BARE], pools[WATER])
    for material, pool in pools.items():
        if material != BUILT:
            pool[:, N_OPTICAL:] = np.minimum(pool[:, N_OPTICAL:], MAX_RADAR_DB)
    return Materials(pools)


def _of_classes(points: Points, lesotho: RegionalPoints) -> dict[int, Pool]:
    clear = np.isfinite(points.clear[:, :, 0])
    place, month = np.nonzero(clear)
    spectra, label = points.clear[place, month], points.label[place]
    at, period = np.nonzero(lesotho.seen)
    of_lesotho = _without_radar(lesotho.s2[at, period])
    pools = {}
    for cover in (WATER, TREES, GRASS, FLOODED, CROPS, SHRUB, BUILT, BARE):
        own = spectra[label == cover]
        donors = own[np.isfinite(own).all(1)]
        lent = lend_radar(of_lesotho[lesotho.label[at] == cover], donors)
        # Lesotho's towns are mostly gardens and fields by their spectra
        pools[cover] = own if cover in (BUILT, WATER) else np.concatenate([own, lent])
    snow = points.snowy[np.isfinite(points.snowy[:, :, 0])]
    pools[SNOW] = snow
    return pools


def _of_deserts(africa: RegionalPoints, donors: Pool) -> dict[int, Pool]:
    """Sand, stones, rock, salt, dry shrub and steppe from points that are not crops."""
    whole = africa[(africa.label == NOT_CROPS) & africa.seen.all(1)]
    greenest = ndvi(whole.s2).max(1)
    spectra = lend_radar(_without_radar(whole.s2.reshape(-1, N_OPTICAL)), donors)
    spectra = spectra.reshape(len(whole), -1, spectra.shape[1])
    swir, wet = whole.s2[:, :, B12].mean(1), _mndwi(whole.s2).max(1) > 0
    desert, bright = (greenest < 0.13) & ~wet, swir >= SAND_SWIR_DN
    salt = (whole.s2[:, :, B03] > 2400).any(1) & (whole.s2[:, :, B11] < whole.s2[:, :, B08]).all(1)
    chosen = {
        SAND: desert & bright,
        STONE: desert & ~bright & (swir > ROCK_SWIR_DN),
        ROCK: desert & (swir <= ROCK_SWIR_DN),
        SALT: salt,
        DRY_SHRUB: (greenest >= 0.14) & (greenest < 0.25) & ~wet,
        STEPPE: (greenest >= 0.22) & (greenest < 0.38) & ~wet,
    }
    pools = {name: spectra[rows].reshape(-1, spectra.shape[2]) for name, rows in chosen.items()}
    pools[ROCK] = _at_least(pools[ROCK], pools[STONE])
    if len(pools[SALT]) < MIN_POOL:
        tinted = pools[SAND].copy()
        tinted[:, :N_OPTICAL] *= SALT_TINT
        pools[SALT] = tinted
    return pools


def lend_radar(spectra: Pool, donors: Pool) -> Pool:
    """Give spectra without radar that of the donor whose optical spectrum is nearest."""
    if not len(donors) or not len(spectra):
        return spectra
    seen, known = (np.log(np.maximum(each[:, :N_OPTICAL], 1)) for each in (spectra, donors))
    lent = spectra.copy()
    for start in range(0, len(spectra), 512):
        part = seen[start : start + 512]
        far = ((part[:, None] - known[None]) ** 2).sum(2)
        lent[start : start + 512, N_OPTICAL:] = donors[far.argmin(1), N_OPTICAL:]
    return lent


def ndvi(s2: NDArray[np.float32]) -> NDArray[np.float32]:
    """Greenness of spectra (..., 9 or 11)."""
    red, infrared = s2[..., B04], s2[..., B08]
    return (infrared - red) / np.maximum(infrared + red, 1)


def _mndwi(s2: NDArray[np.float32]) -> NDArray[np.float32]:
    green, infrared = s2[..., B03], s2[..., B11]
    return (green - infrared) / np.maximum(green + infrared, 1)


def _dry(pool: Pool, *, below: float) -> Pool:
    return pool[ndvi(pool) < below]


def _at_least(pool: Pool, others: Pool) -> Pool:
    """The pool, or others where it is too small."""
    return pool if len(pool) >= MIN_POOL else others


def _mud(bare: Pool, water: Pool) -> Pool:
    """Wet ground: bare ground and water in one pixel."""
    count = min(len(bare), len(water))
    mixed: Pool = (0.45 * bare[:count] + 0.55 * water[:count]).astype(np.float32)
    return mixed


def _without_radar(s2: NDArray[np.float32]) -> Pool:
    return np.concatenate([s2, np.full((len(s2), 2), np.nan, np.float32)], 1)
