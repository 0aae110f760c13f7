"""Wetlands: marsh with channels, reeds around lakes, mangrove coasts, bogs, floodplains."""

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import BARE, FLOODED, GRASS, SHRUB, TREES, WATER
from recipes.real_land.nature import distance_to_line
from recipes.real_land.noise import Field, coordinates, fractal, smooth
from recipes.real_land.towns import add_road, add_town
from recipes.real_land.wild.land import Land, part_of
from recipes.real_land.wild.materials import MUD, SAND


def draw_wetland(rng: np.random.Generator, size: int) -> Land:
    """Draw a wetland of one of four kinds."""
    land = Land.blank(rng, size, FLOODED)
    draw = (_draw_salt_marsh, _draw_reeds, _draw_mangroves, _draw_floodplain)
    draw[int(rng.choice(len(draw), p=(0.3, 0.25, 0.2, 0.25)))](land, rng)
    land.canvas.rough[np.isin(land.canvas.label, (WATER, FLOODED))] = 0
    if rng.random() < 0.2:
        add_road(land.canvas, rng)
    if rng.random() < 0.2:
        dry = ~np.isin(land.canvas.label, (WATER, FLOODED))
        if dry.mean() > 0.2:
            add_town(land.canvas, rng, share=float(np.exp(rng.uniform(-5.5, -3))))
    return land


def _creeks(rng: np.random.Generator, size: int, *, length: float) -> Field:
    """Distance-like field of winding creeks that branch, small in them, (N, N)."""
    bends = fractal(rng, size, length, octaves=4)
    other = fractal(rng, size, length / 2.5, octaves=3)
    # zero lines of smooth fields wind and never end; a second set joins the first
    return np.minimum(np.abs(bends), 1.4 * np.abs(other) + 0.15).astype(np.float32)


def _draw_salt_marsh(land: Land, rng: np.random.Generator) -> None:
    """Tidal marsh: creeks of all widths, pools, mud on their banks, open water, dry land."""
    size = land.size
    _, v = coordinates(size, rng.uniform(0, 2 * np.pi))
    inland = v / size + 0.25 * fractal(rng, size, 80)
    land.lay(rng, np.ones((size, size), np.bool_), FLOODED, kinds=3, uneven=0.7)
    creek = _creeks(rng, size, length=rng.uniform(25, 90)) * (0.7 + 1.5 * (inland + 0.5).clip(0, 2))
    wide = rng.uniform(0.03, 0.12)
    banks = (creek < 1.8 * wide) & (creek >= wide)
    land.dot(rng, banks, MUD, np.full((size, size), rng.uniform(0.2, 0.7)))
    land.lay(rng, creek < wide, WATER, kinds=2, uneven=0.4)
    pools = smooth(rng, size, rng.uniform(4, 9)) > rng.uniform(1.8, 2.6)
    land.lay(rng, pools, WATER, kinds=1)
    sea = inland < rng.uniform(-0.6, -0.2)
    land.lay(rng, sea, WATER, kinds=2, uneven=0.5)
    if rng.random() < 0.4:
        strip = (inland - inland[sea].max() < 0.04) & ~sea if sea.any() else sea
        land.lay(rng, strip, SAND if rng.random() < 0.6 else MUD, kinds=2)
    dry = inland > rng.uniform(0.2, 0.6)
    land.lay(rng, dry, TREES if rng.random() < 0.5 else GRASS)
    land.lay(rng, dry & part_of(rng, size, rng.uniform(0.1, 0.6), 50), TREES)


def _draw_reeds(land: Land, rng: np.random.Generator) -> None:
    """Lakes with belts of reed, wet meadows behind them, willows on islands."""
    size = land.size
    depth = fractal(rng, size, rng.uniform(50, 140), octaves=4)
    level = np.quantile(depth, rng.uniform(0.15, 0.7))
    below = level - depth  # depth of the water, negative on land
    belt = rng.uniform(0.1, 0.7)
    land.lay(rng, np.ones((size, size), np.bool_), GRASS)
    land.lay(rng, part_of(rng, size, rng.uniform(0.1, 0.5), rng.uniform(20, 70)), TREES)
    reeds = (below > -belt) & (below < 0.5 * belt)
    land.lay(rng, reeds & (fractal(rng, size, 20) > -1.2), FLOODED, kinds=3, uneven=0.8)
    land.lay(rng, (below >= 0.5 * belt) | ((below > 0) & ~reeds), WATER, kinds=2, uneven=0.4)
    if rng.random() < 0.6:
        floating = (below > 0) & (smooth(rng, size, rng.uniform(4, 12)) > 1)
        land.lay(rng, floating, FLOODED, kinds=2)
    if rng.random() < 0.5:
        _cut_channels(land, rng, reeds)


def _cut_channels(land: Land, rng: np.random.Generator, where: NDArray[np.bool_]) -> None:
    """Straight ditches of a pixel through a part of the land."""
    size = land.size
    _, v = coordinates(size, rng.uniform(0, np.pi))
    spacing = rng.uniform(8, 30)
    far = np.abs((v / spacing) % 1 - 0.5) * spacing
    share = (rng.uniform(0.3, 0.9) + 0.4 - far).clip(0, 1)
    land.dot(rng, where & (share > 0), WATER, share)


def _draw_mangroves(land: Land, rng: np.random.Generator) -> None:
    """A mangrove coast: sea, mud flats, dense mangroves cut by wide winding creeks, land."""
    size = land.size
    _, v = coordinates(size, rng.uniform(0, 2 * np.pi))
    inland = v / size + 0.3 * fractal(rng, size, rng.uniform(50, 130))
    coast, end = rng.uniform(-0.5, 0), rng.uniform(0.15, 0.7)
    land.lay(rng, np.ones((size, size), np.bool_), FLOODED, kinds=2, uneven=0.5)
    creek = _creeks(rng, size, length=rng.uniform(40, 120))
    wide = rng.uniform(0.03, 0.12) * (1.6 - 1.5 * (inland - coast)).clip(0.3, 2)
    land.dot(rng, (creek < 1.6 * wide) & (creek >= wide), MUD, np.full((size, size), 0.4))
    land.lay(rng, creek < wide, WATER, kinds=2)
    land.lay(rng, inland < coast, WATER, kinds=2, uneven=0.5)
    flats = (inland >= coast) & (inland < coast + rng.uniform(0.01, 0.08))
    land.lay(rng, flats, MUD, kinds=2)
    land.lay(rng, inland > end, (TREES, GRASS, SHRUB)[int(rng.choice(3))])
    land.lay(rng, (inland > end) & part_of(rng, size, 0.4, 50), TREES)
    if rng.random() < 0.5:  # salt pans behind the trees
        pans = (inland > end - 0.1) & (inland < end) & (fractal(rng, size, 15) > 0.3)
        land.lay(rng, pans, MUD if rng.random() < 0.5 else BARE, kinds=2)


def _draw_floodplain(land: Land, rng: np.random.Generator) -> None:
    """A river with old arms, scroll bars, flooded grass, and gallery woods."""
    size = land.size
    land.lay(rng, np.ones((size, size), np.bool_), GRASS)
    wet = part_of(rng, size, rng.uniform(0.3, 0.8), rng.uniform(25, 90))
    land.lay(rng, wet, FLOODED, kinds=3, uneven=0.8)
    bend = rng.uniform(8, 30)
    far = distance_to_line(rng, size, bend=bend, wavelength=rng.uniform(3, 6) * bend)
    half = float(np.exp(rng.uniform(np.log(0.6), np.log(9))))
    scrolls = np.sin(far / rng.uniform(0.8, 3)) > rng.uniform(0.1, 0.9)
    land.dot(rng, scrolls & (far < 40) & (far > half), WATER, np.full((size, size), 0.45))
    arms = np.abs(fractal(rng, size, rng.uniform(20, 50), octaves=2)) < rng.uniform(0.02, 0.08)
    land.lay(rng, arms & wet, WATER, kinds=2)
    gallery = (far < half + rng.uniform(1, 8)) & (smooth(rng, size, 15) > -0.5)
    land.lay(rng, gallery, TREES)
    land.lay(rng, far < half, WATER, kinds=2)
    land.lay(rng, part_of(rng, size, rng.uniform(0, 0.2), 40) & ~wet, TREES)
