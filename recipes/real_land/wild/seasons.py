"""Land that a season changes: forest under snow, and fields and pasture under a low sun."""

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import BUILT, CROPS, GRASS, SNOW, TREES, WATER
from recipes.real_land.fields import add_farmland, make_parcels
from recipes.real_land.nature import add_river
from recipes.real_land.noise import fractal, smooth
from recipes.real_land.towns import add_farms, add_road, add_town
from recipes.real_land.wild.land import TREES_OR_SNOW, Land, crowns, part_of
from recipes.real_land.wild.materials import STUBBLE


def draw_winter(rng: np.random.Generator, size: int) -> Land:
    """Draw land under snow: open snow, forest with snow under and on it, roads, frozen lakes.

    Where trees hide most of the snow it is forest, where they hide little it is snow, and between
    it is either.
    """
    land = Land.blank(rng, size, SNOW)
    land.sun_zenith = rng.uniform(58, 80)
    land.canvas.rough[:] = rng.uniform(0.1, 1)
    forest = part_of(rng, size, rng.uniform(0.2, 0.95), rng.uniform(30, 150))
    _clear_plots(rng, size, forest)
    dense = (rng.uniform(0.3, 1.1) + 0.3 * fractal(rng, size, rng.uniform(15, 60))).clip(0.02, 0.95)
    density = np.where(forest, dense, rng.uniform(0, 0.08)).astype(np.float32)
    share = crowns(rng, size, density) * rng.uniform(0.75, 1)
    land.dot(rng, share > 0.03, TREES, share)
    shown = 0.5 * density + 0.5 * share
    land.canvas.label[shown > 0.65] = TREES
    land.doubt[(shown > 0.3) & (shown <= 0.65)] = TREES_OR_SNOW
    if rng.random() < 0.5:
        lake = part_of(rng, size, rng.uniform(0.02, 0.3), rng.uniform(40, 120))
        land.lay(rng, lake, SNOW, kinds=1, uneven=0.2)
        land.canvas.rough[lake] = 0
    if rng.random() < 0.2:
        add_river(land.canvas, rng)
    if rng.random() < 0.4:
        add_road(land.canvas, rng)
    if rng.random() < 0.25:
        _add_snowy_town(land, rng)
    known = np.isin(land.canvas.label, (BUILT, WATER))
    land.doubt[known] = 0
    return land


def _clear_plots(rng: np.random.Generator, size: int, forest: NDArray[np.bool_]) -> None:
    """Clear some plots of a forest, in place: sharp-edged openings."""
    parcel, count = make_parcels(rng, size)
    cleared = rng.random(count) < rng.uniform(0, 0.35)
    forest &= ~cleared[parcel]


def _add_snowy_town(land: Land, rng: np.random.Generator) -> None:
    """A town whose roofs and gardens are half under snow."""
    before = land.canvas.label.copy()
    add_town(land.canvas, rng, share=float(np.exp(rng.uniform(np.log(0.005), np.log(0.25)))))
    town = (land.canvas.label == BUILT) & (before != BUILT)
    share = (0.3 + 0.25 * smooth(rng, land.size, 2)).clip(0, 0.7) * rng.uniform(0.3, 1)
    land.dot(rng, town, SNOW, share)


def draw_autumn(rng: np.random.Generator, size: int) -> Land:
    """Draw temperate farmland from autumn to spring: ploughed, sown, stubble, green pasture.

    The sun is low: fields are dark, woods throw shade, hedges are long dark lines.
    """
    land = Land.blank(rng, size, CROPS)
    land.sun_zenith = rng.uniform(55, 78)
    land.canvas.rough[:] = rng.uniform(0.1, 0.8)
    canvas = land.canvas
    meadows = part_of(rng, size, rng.uniform(0, 0.4), rng.uniform(40, 120))
    canvas.paint(meadows, GRASS, canvas.patches(GRASS))
    add_farmland(canvas, rng, pasture=float(rng.choice((0.05, 0.2, 0.4))))
    _add_stubble(land, rng)
    woods = part_of(rng, size, float(np.exp(rng.uniform(np.log(0.01), np.log(0.5)))), 60)
    parcel, count = make_parcels(rng, size)
    if rng.random() < 0.5:  # woods along borders of fields
        inside = np.bincount(parcel.ravel(), woods.ravel(), count)
        woods = (inside / np.bincount(parcel.ravel(), minlength=count) > 0.5)[parcel]
    land.lay(rng, woods, TREES, kinds=2)
    canvas.rough[woods] = 1
    if rng.random() < 0.3:
        add_river(canvas, rng)
    if rng.random() < 0.3:
        land.lay(rng, part_of(rng, size, rng.uniform(0.01, 0.1), 40), WATER, kinds=1)
    for _ in range(int(rng.integers(0, 3))):
        add_town(canvas, rng, share=float(np.exp(rng.uniform(np.log(0.003), np.log(0.15)))))
    if rng.random() < 0.5:
        add_farms(canvas, rng)
    if rng.random() < 0.5:
        add_road(canvas, rng)
    return land


def _add_stubble(land: Land, rng: np.random.Generator) -> None:
    """Some of the fields become stubble or dry soil, each as a whole."""
    parcel, count = make_parcels(rng, land.size)
    chosen = (rng.random(count) < rng.uniform(0, 0.4))[parcel] & (land.canvas.label == CROPS)
    first = land.canvas.patches(STUBBLE, count)
    land.canvas.mix(chosen, first + parcel, np.float32(rng.uniform(0.6, 1)))
