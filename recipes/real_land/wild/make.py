"""From a kind of wild land to a landscape: drawn, coloured, lit, and seen by both sensors."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import BUILT, CROPS
from recipes.real_land.samples import N_OPTICAL
from recipes.real_land.sensor import Look, to_optical, to_radar
from recipes.real_land.towns import fade_towns
from recipes.real_land.wild.deserts import draw_desert
from recipes.real_land.wild.land import Land
from recipes.real_land.wild.materials import Materials
from recipes.real_land.wild.open_land import draw_bare, draw_shrubland, draw_steppe
from recipes.real_land.wild.seasons import draw_autumn, draw_winter
from recipes.real_land.wild.wetlands import draw_wetland

KINDS: Mapping[str, Callable[[np.random.Generator, int], Land]] = {
    "desert": draw_desert,
    "steppe": draw_steppe,
    "shrubland": draw_shrubland,
    "bare": draw_bare,
    "wetland": draw_wetland,
    "winter": draw_winter,
    "autumn": draw_autumn,
}
"""How each kind of landscape is drawn."""

ANY_SUN = 40.0
"""Zenith of the sun that is given for landscapes under any, degrees."""

FARMED = ("autumn",)
"""Kinds that may take the texture of real clips: those have the seams and furrows of farmland,
and a desert or a marsh must not look ploughed."""

GAIN_DEVIATION = 0.07
"""Deviation of the logarithm of each patch's own gain."""

HAZE_COLOUR = np.array([1, 0.75, 0.55, 0.45, 0.3, 0.27, 0.22, 0.08, 0.05], np.float32)
"""Haze in each band, relative to B02."""

LOW_SUN_HAZE_DN = 120.0
"""Deviation of what the correction of the air leaves in B02 under a low sun, DN."""


@dataclass(frozen=True)
class WildLandscape:
    """A made landscape."""

    s2: NDArray[np.uint16]
    """Sentinel-2, DN, (9, N, N)."""

    s1: NDArray[np.int16]
    """Sentinel-1, hundredths of a decibel, (2, N, N)."""

    label: NDArray[np.uint8]
    """Class ids or codes of sets, (N, N)."""

    sun_zenith: float
    """Zenith of the sun, degrees."""


def make_landscape(
    kind: str,
    number: int,
    materials: Materials,
    textures: Sequence[NDArray[np.float32]] = (),
    *,
    size: int = 256,
    seed: int = 0,
) -> WildLandscape:
    """Make a landscape; the same kind, number and seed give the same one.

    Args:
        kind: one of ``KINDS``.
        number: number of the landscape.
        materials: spectra to paint it with.
        textures: texture clips (9, H, W) of ``scenes.load_textures``.
        size: side, pixels, even.
        seed: seed of all random draws.

    """
    rng = np.random.default_rng((seed, list(KINDS).index(kind), number))
    land = KINDS[kind](rng, size)
    planes = _coloured(rng, land, materials)
    look = Look(relief=land.steep, texture=float(np.exp(rng.normal(-0.2, 0.4))))
    s2 = to_optical(
        planes[:N_OPTICAL],
        land.canvas,
        land.height,
        rng,
        textures=textures if kind in FARMED else (),
        look=look,
        sun_zenith=land.sun_zenith,
    )
    if land.sun_zenith is not None:
        s2 = _under_low_sun(rng, s2)
    s1 = to_radar(planes[N_OPTICAL:], land.canvas, land.height, rng, look=replace(look, relief=1))
    return WildLandscape(s2, s1, land.truth, land.sun_zenith or ANY_SUN)


def _coloured(rng: np.random.Generator, land: Land, materials: Materials) -> NDArray[np.float32]:
    """Colour the patches: (11, N, N) reflectance in DN, and radar as linear power."""
    canvas, covers = land.canvas, np.array(land.canvas.covers)
    palette = materials.palette(rng, land.palette_base)
    by_patch = np.empty((len(covers), N_OPTICAL + 2), np.float32)
    for material in np.unique(covers):
        rows = np.flatnonzero(covers == material)
        pool = palette[int(material)]
        few = rng.choice(len(pool), min(len(pool), 30 if material in (CROPS, BUILT) else 6))
        by_patch[rows] = pool[few[rng.integers(len(few), size=len(rows))]]
    fade_towns(rng, by_patch, covers)
    by_patch[:, N_OPTICAL:] = 10 ** (by_patch[:, N_OPTICAL:] / 10)
    uneven = np.where(np.isin(covers, (CROPS, BUILT)), 2.5, 1) * GAIN_DEVIATION
    by_patch[:, :N_OPTICAL] *= np.exp(rng.normal(0, 1, len(covers)) * uneven)[:, None]
    share = canvas.share[..., None]
    mixed = by_patch[canvas.first] * (1 - share) + by_patch[canvas.second] * share
    return np.ascontiguousarray(mixed.transpose(2, 0, 1), np.float32)


def _under_low_sun(rng: np.random.Generator, s2: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """What correction leaves under a low sun: darker land, too little blue, or too much."""
    gain = np.exp(rng.normal(-0.12, 0.2))
    left = rng.normal(-40, LOW_SUN_HAZE_DN) * HAZE_COLOUR[:, None, None]
    noise = rng.normal(0, rng.uniform(3, 15), s2.shape)
    return np.rint(gain * s2 + left + noise).clip(1, 65535).astype(np.uint16)
