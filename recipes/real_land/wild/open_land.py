"""Steppe and savanna, shrubland, and bare ground outside deserts."""

import numpy as np

from recipes.real_land.canvas import BARE, BUILT, CROPS, GRASS, SHRUB, TREES, WATER
from recipes.real_land.fields import add_farmland
from recipes.real_land.nature import add_river, distance_to_line
from recipes.real_land.noise import coordinates, fractal, smooth
from recipes.real_land.towns import add_road, add_town
from recipes.real_land.wild.land import (
    GRASS_OR_SHRUB,
    NOT_CROPS_SET,
    OPEN_LAND,
    SHRUB_OR_BARE,
    Land,
    crowns,
    part_of,
)
from recipes.real_land.wild.materials import DRY_GRASS, DRY_SHRUB, ROCK, SAND, STEPPE, STONE


def draw_steppe(rng: np.random.Generator, size: int) -> Land:
    """Draw dry grassland: bare patches, bushes, single trees, burnt ground, tracks, few fields."""
    base = (DRY_GRASS, GRASS, STEPPE)[int(rng.choice(3, p=(0.45, 0.15, 0.4)))]
    land = Land.blank(rng, size, base)
    if base == STEPPE:  # points that are known not to be crops, and no more
        land.doubt[:] = OPEN_LAND if rng.random() < 0.5 else NOT_CROPS_SET
    land.canvas.rough[:] = rng.uniform(0.1, 1)
    other = DRY_GRASS if base != DRY_GRASS else GRASS
    land.lay(rng, part_of(rng, size, rng.uniform(0, 0.5), rng.uniform(25, 120)), other)
    if rng.random() < 0.5:
        worn = part_of(rng, size, rng.uniform(0.02, 0.2), rng.uniform(8, 40))
        land.dot(rng, worn, STONE, np.full((size, size), rng.uniform(0.3, 0.8)))
    if rng.random() < 0.4:
        _add_burnt(land, rng)
    if rng.random() < 0.7:
        _add_bushes(land, rng, most=0.7)
    if rng.random() < 0.6:
        _add_trees(land, rng)
    if rng.random() < 0.3:
        add_river(land.canvas, rng)
    _add_people(land, rng, farms=0.15)
    return land


def draw_shrubland(rng: np.random.Generator, size: int) -> Land:
    """Draw shrubland: thickets and gaps of grass or stones, groves, firebreaks, slopes."""
    dry = rng.random() < 0.6
    land = Land.blank(rng, size, SHRUB if not dry or rng.random() < 0.5 else DRY_SHRUB)
    land.canvas.label[:] = SHRUB
    land.canvas.rough[:] = 1
    land.steep = rng.uniform(0.5, 1.6)
    patchy = 1 / (1 + np.exp(-2.5 * fractal(rng, size, rng.uniform(8, 60), octaves=4)))
    thick = crowns(rng, size, patchy * rng.uniform(0.3, 0.9))
    everywhere = np.ones((size, size), np.bool_)
    land.dot(rng, everywhere, SHRUB, 0.8 * thick)
    gaps = part_of(rng, size, rng.uniform(0.03, 0.3), rng.uniform(8, 50))
    filling = GRASS if not dry else DRY_GRASS if rng.random() < 0.6 else STONE
    land.lay(rng, gaps, filling, cover=SHRUB)
    land.doubt[gaps] = SHRUB_OR_BARE if filling == STONE else GRASS_OR_SHRUB
    if rng.random() < 0.6:
        groves = part_of(rng, size, rng.uniform(0.02, 0.35), rng.uniform(10, 60))
        land.lay(rng, groves, TREES)
    if rng.random() < 0.5:
        _add_trees(land, rng)
    if rng.random() < 0.35:
        rocks = part_of(rng, size, rng.uniform(0.02, 0.15), rng.uniform(8, 40))
        land.lay(rng, rocks, ROCK)
    for _ in range(int(rng.integers(0, 3))):  # tracks and firebreaks
        far = distance_to_line(rng, size, bend=rng.uniform(0, 15), wavelength=60)
        share = (rng.uniform(0.4, 1.2) + 0.5 - far).clip(0, 1) * 0.7
        land.dot(rng, share > 0, STONE, share)
    if rng.random() < 0.3:
        add_river(land.canvas, rng)
    _add_people(land, rng, farms=0.25)
    return land


def draw_bare(rng: np.random.Generator, size: int) -> Land:
    """Draw bare ground among other land: a beach, a gravel river, a quarry, badlands."""
    kind = int(rng.choice(4))
    land = Land.blank(rng, size, BARE)
    if kind == 0:
        _draw_beach(land, rng)
    elif kind == 1:
        _draw_gravel_river(land, rng)
    elif kind == 2:
        _draw_quarries(land, rng)
    else:
        _draw_badlands(land, rng)
    _add_people(land, rng, farms=0.3)
    return land


def _draw_beach(land: Land, rng: np.random.Generator) -> None:
    """Sea, surf, sand of a few pixels, dunes with grass, and what lies behind them."""
    size = land.size
    _, v = coordinates(size, rng.uniform(0, 2 * np.pi))
    shore = v - rng.uniform(-size / 4, size / 4) + rng.uniform(0, 15) * smooth(rng, size, 80)
    wide = float(np.exp(rng.uniform(np.log(1), np.log(20))))
    land.lay(rng, shore < 0, WATER, kinds=2, uneven=0.5)
    surf = np.exp(-(((shore + 1.5) / 1.2) ** 2)) * (rng.random() < 0.6)
    land.dot(rng, (shore < 0) & (surf > 0.1), SAND, 0.5 * surf)
    land.lay(rng, (shore >= 0) & (shore < wide), SAND, kinds=2)
    behind = shore >= wide
    land.lay(rng, behind, GRASS)
    dunes = behind & (shore < 2.5 * wide) & (fractal(rng, size, 15) > rng.uniform(-1, 0.5))
    land.lay(rng, dunes, DRY_GRASS, cover=GRASS, doubt=OPEN_LAND)
    land.lay(rng, behind & part_of(rng, size, rng.uniform(0.1, 0.6), 50), TREES)
    land.canvas.rough[:] = 0.2 * (shore >= 0)


def _draw_gravel_river(land: Land, rng: np.random.Generator) -> None:
    """A braided river in a wide bed of gravel, with woods and grass beside it."""
    size = land.size
    land.lay(rng, np.ones((size, size), np.bool_), GRASS)
    land.lay(rng, part_of(rng, size, rng.uniform(0.2, 0.6), rng.uniform(25, 80)), TREES)
    far = distance_to_line(rng, size, bend=rng.uniform(5, 25), wavelength=rng.uniform(60, 160))
    wide = rng.uniform(5, 35)
    bed = far < wide * (1 + 0.4 * smooth(rng, size, 40))
    land.lay(rng, bed, STONE if rng.random() < 0.7 else SAND, kinds=3)
    ridged = np.abs(fractal(rng, size, rng.uniform(12, 30), octaves=3))
    channel = bed & (ridged < rng.uniform(0.05, 0.25))
    land.lay(rng, channel, WATER, kinds=2)
    bushes = bed & ~channel & (fractal(rng, size, 12) > 1)
    land.lay(rng, bushes, SHRUB, doubt=SHRUB_OR_BARE)
    land.canvas.rough[bed] = 0


def _draw_quarries(land: Land, rng: np.random.Generator) -> None:
    """Pits of a few hectares, stepped, with ponds, in fields and woods."""
    size = land.size
    land.lay(rng, np.ones((size, size), np.bool_), CROPS)
    add_farmland(land.canvas, rng, pasture=0.2)
    land.lay(rng, part_of(rng, size, rng.uniform(0.1, 0.6), 50), TREES)
    for _ in range(int(rng.integers(1, 4))):
        height = fractal(rng, size, rng.uniform(25, 70), octaves=3)
        share = float(np.exp(rng.uniform(np.log(0.01), np.log(0.2))))
        level = np.quantile(height, 1 - share)
        pit = height > level
        land.lay(rng, pit, STONE if rng.random() < 0.5 else SAND, kinds=4)
        steps = ((height - level) * rng.uniform(3, 8)) % 1
        land.dot(rng, pit, BARE, 0.5 * (steps < 0.3))
        if rng.random() < 0.5:
            land.lay(rng, height > level + 0.6 * (height.max() - level), WATER, kinds=2)
        land.canvas.rough[pit] = 0.5


def _draw_badlands(land: Land, rng: np.random.Generator) -> None:
    """Bare slopes cut by gullies, with some grass and shrub on their tops."""
    size = land.size
    land.height = (1 - np.abs(fractal(rng, size, rng.uniform(20, 60), octaves=6))).astype(
        np.float32
    )
    land.canvas.rough[:] = 1
    land.steep = rng.uniform(0.8, 2)
    land.lay(
        rng, part_of(rng, size, rng.uniform(0.1, 0.5), 60), ROCK if rng.random() < 0.5 else STONE
    )
    green = part_of(rng, size, rng.uniform(0.05, 0.35), rng.uniform(10, 50))
    land.lay(rng, green, GRASS if rng.random() < 0.5 else SHRUB)
    sparse = part_of(rng, size, rng.uniform(0.05, 0.3), rng.uniform(10, 50)) & ~green
    land.dot(rng, sparse, DRY_SHRUB, np.full((size, size), rng.uniform(0.15, 0.4)))
    land.doubt[sparse] = SHRUB_OR_BARE


def _add_bushes(land: Land, rng: np.random.Generator, *, most: float) -> None:
    """Bushes over grass: shrubland where they are many."""
    size = land.size
    patchy = 1 / (1 + np.exp(-2 * (fractal(rng, size, rng.uniform(15, 80)) - 0.3)))
    density = patchy * float(np.exp(rng.uniform(np.log(0.03), np.log(most))))
    ground = land.canvas.label == GRASS
    share = crowns(rng, size, density)
    land.dot(rng, ground & (share > 0.05), SHRUB, share * rng.uniform(0.5, 0.95))
    known = ground & (land.doubt == 0)
    land.canvas.label[known & (density > 0.4)] = SHRUB
    land.doubt[known & (density > 0.15) & (density <= 0.4)] = GRASS_OR_SHRUB


def _add_trees(land: Land, rng: np.random.Generator) -> None:
    """Single trees, woodland where they cover more than half of the ground."""
    size = land.size
    density = np.exp(rng.uniform(np.log(0.02), np.log(0.5))) / (
        1 + np.exp(-2 * (fractal(rng, size, rng.uniform(20, 90)) - 0.5))
    )
    ground = np.isin(land.canvas.label, (GRASS, SHRUB))
    share = crowns(rng, size, density)
    land.dot(rng, ground & (share > 0.05), TREES, share * rng.uniform(0.6, 0.95))
    woods = ground & (density > 0.4)
    land.canvas.label[woods] = TREES
    land.doubt[woods] = 0


def _add_burnt(land: Land, rng: np.random.Generator) -> None:
    """Burnt ground: sharp-edged and dark; it stays what it was."""
    size = land.size
    where = part_of(rng, size, rng.uniform(0.03, 0.35), rng.uniform(30, 100))
    share = (0.7 + 0.25 * smooth(rng, size, 6)).clip(0, 0.95) * rng.uniform(0.5, 1)
    land.dot(rng, where, ROCK, share)


def _add_people(land: Land, rng: np.random.Generator, *, farms: float) -> None:
    """Roads, villages and sometimes fields; what they are is known."""
    canvas, size = land.canvas, land.size
    if rng.random() < farms:
        where = part_of(rng, size, rng.uniform(0.05, 0.4), rng.uniform(40, 100))
        where &= ~np.isin(canvas.label, (WATER, BARE))
        canvas.paint(where, CROPS, canvas.patches(CROPS))
        add_farmland(canvas, rng, pasture=0.1)
    if rng.random() < 0.35:
        add_road(canvas, rng)
    if rng.random() < 0.25:
        add_town(canvas, rng, share=float(np.exp(rng.uniform(np.log(0.003), np.log(0.1)))))
    land.doubt[np.isin(canvas.label, (CROPS, TREES, BUILT, WATER))] = 0
