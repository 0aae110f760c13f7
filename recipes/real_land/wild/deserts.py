"""Deserts: stony and sandy plains, dunes, dry beds, salt flats, bare mountains, sparse shrub."""

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import BARE, BUILT, CROPS, SHRUB, TREES, WATER
from recipes.real_land.fields import add_pivots
from recipes.real_land.nature import distance_to_line
from recipes.real_land.noise import Field, coordinates, fractal, smooth
from recipes.real_land.towns import add_road, add_town
from recipes.real_land.wild.land import SHRUB_OR_BARE, Land, crowns, part_of
from recipes.real_land.wild.materials import DRY_SHRUB, MUD, ROCK, SALT, SAND, STONE


def draw_desert(rng: np.random.Generator, size: int) -> Land:
    """Draw a desert."""
    base = SAND if rng.random() < 0.5 else STONE
    land = Land.blank(rng, size, base)
    land.canvas.rough[:] = rng.uniform(0.05, 0.25)
    other = STONE if base == SAND else SAND
    land.lay(rng, part_of(rng, size, rng.uniform(0.1, 0.6), rng.uniform(30, 150)), other)
    if rng.random() < 0.4:
        _add_fans(land, rng)
    if rng.random() < (0.6 if base == SAND else 0.15):
        _add_dunes(land, rng)
    elif rng.random() < 0.55:
        _add_mountains(land, rng)
    if rng.random() < 0.6:
        _add_dry_beds(land, rng)
    if rng.random() < 0.25:
        _add_salt_flat(land, rng)
    if rng.random() < 0.65:
        _add_shrubs(land, rng)
    if rng.random() < 0.2:
        add_road(land.canvas, rng)
    if rng.random() < 0.12:  # what is green or built here must stand out from the desert
        add_pivots(land.canvas, rng)
    if rng.random() < 0.12:
        add_town(land.canvas, rng, share=float(np.exp(rng.uniform(np.log(0.003), np.log(0.08)))))
    land.doubt[np.isin(land.canvas.label, (CROPS, TREES, BUILT, WATER))] = 0
    return land


def _add_dunes(land: Land, rng: np.random.Generator) -> None:
    """Dunes: crests across the wind, steep on one side, with paler or stony ground between."""
    size = land.size
    where = part_of(rng, size, rng.uniform(0.4, 1.0), rng.uniform(60, 200))
    u, _ = coordinates(size, rng.uniform(0, np.pi))
    length = float(np.exp(rng.uniform(np.log(8), np.log(50))))
    bend = length * rng.uniform(0.2, 0.7)
    warped = u + bend * smooth(rng, size, 2.5 * length) + 0.3 * bend * smooth(rng, size, length)
    phase = (warped / length + 0.15 * smooth(rng, size, 3 * length)) % 1
    slip = rng.uniform(0.15, 0.4)  # share of a wave on its lee side
    profile = np.where(phase < 1 - slip, phase / (1 - slip), (1 - phase) / slip)
    strength = 1 / (1 + np.exp(-3 * (fractal(rng, size, 60) + 0.4)))
    land.lay(rng, where, SAND, kinds=2)
    dunes = (profile * strength * length * rng.uniform(0.02, 0.08)).astype(np.float32)
    land.height = np.where(where, dunes + 0.05 * land.height, land.height)
    land.canvas.rough[where] = 1
    between = (profile < 0.25) & where
    if rng.random() < 0.5:
        share = np.clip(rng.uniform(0.2, 0.7) * (1 - 4 * profile), 0, 1)
        land.dot(rng, between, STONE if rng.random() < 0.7 else SALT, share)


def _add_mountains(land: Land, rng: np.random.Generator) -> None:
    """Bare mountains: sharp ridges, gullies, darker rock, light and shade."""
    size = land.size
    ridged = 1 - np.abs(fractal(rng, size, rng.uniform(30, 110), octaves=6))
    where = part_of(rng, size, rng.uniform(0.15, 0.9), rng.uniform(80, 220))
    land.lay(rng, where, ROCK if rng.random() < 0.6 else STONE, kinds=4)
    edge = 1 / (1 + np.exp(-2 * fractal(rng, size, 60)))
    land.height = np.where(where, ridged * (0.7 + 0.6 * edge), land.height).astype(np.float32)
    land.canvas.rough[where] = 1
    land.steep = rng.uniform(0.8, 2)
    gully = where & (ridged < np.quantile(ridged, 0.15))
    land.dot(rng, gully, SAND, np.full((size, size), rng.uniform(0.2, 0.7)))


def _add_fans(land: Land, rng: np.random.Generator) -> None:
    """Fans of gravel: long streaks of another shade down a slope."""
    size = land.size
    share = 0.6 / (1 + np.exp(-2 * _streaks(rng, size)))
    land.dot(rng, np.ones((size, size), np.bool_), STONE if rng.random() < 0.5 else ROCK, share)


def _streaks(rng: np.random.Generator, size: int) -> Field:
    """A field that varies fast across and slowly along one direction, (N, N)."""
    _, v = coordinates(size, rng.uniform(0, np.pi))
    across = rng.uniform(3, 12)
    warped = v + 4 * smooth(rng, size, 60)
    waves = [
        np.sin(2 * np.pi * (warped / (across * k) + rng.random())) * smooth(rng, size, 40)
        for k in (1.0, 1.7, 2.9)
    ]
    return np.sum(waves, 0).astype(np.float32)


def _add_dry_beds(land: Land, rng: np.random.Generator) -> None:
    """Dry river beds: pale, braided, with bushes along them."""
    size = land.size
    bushes = np.zeros((size, size), np.float32)
    for number in range(int(rng.integers(1, 5))):
        bend = float(np.exp(rng.uniform(np.log(2), np.log(14))))
        far = distance_to_line(rng, size, bend=bend, wavelength=rng.uniform(3, 7) * bend + 10)
        half = float(np.exp(rng.uniform(np.log(0.4), np.log(8 if number == 0 else 2))))
        braids = smooth(rng, size, max(2.0, half)) > rng.uniform(-0.8, 0.5)
        bed = (far < half) & braids
        land.lay(rng, bed, SAND, kinds=2)
        land.canvas.rough[bed] = 0
        soft = (half + 1 - far).clip(0, 1) * ~bed
        land.dot(rng, soft > 0, SAND, 0.6 * soft)
        bushes = np.maximum(bushes, np.exp(-(((far - half) / (1.5 + half / 2)) ** 2)))
    if rng.random() < 0.7:
        _plant(land, rng, rng.uniform(0.05, 0.5) * bushes)


def _add_salt_flat(land: Land, rng: np.random.Generator) -> None:
    """A salt flat: pale and even, with a rim of dark mud and rings of old shores."""
    size = land.size
    height = fractal(rng, size, rng.uniform(60, 180), octaves=3)
    level = np.quantile(height, rng.uniform(0.5, 0.9))
    flat, rim = height > level, (height > level - 0.12) & (height <= level)
    land.lay(rng, flat, SALT, kinds=2, uneven=0.4)
    rings = 0.5 + 0.5 * np.sin(2 * np.pi * (height - level) / rng.uniform(0.1, 0.4))
    land.dot(rng, flat, MUD if rng.random() < 0.4 else SAND, 0.35 * rings * rng.random())
    land.dot(rng, rim, MUD, np.full((size, size), rng.uniform(0.2, 0.6)))
    land.canvas.rough[flat | rim] = 0


def _add_shrubs(land: Land, rng: np.random.Generator) -> None:
    """Bushes over the plains, in patches."""
    size = land.size
    patchy = 1 / (1 + np.exp(-2 * fractal(rng, size, rng.uniform(15, 80))))
    dense = float(np.exp(rng.uniform(np.log(0.02), np.log(0.45))))
    land.extras["shrub"] = dense
    _plant(land, rng, dense * patchy)


def _plant(land: Land, rng: np.random.Generator, density: NDArray[np.floating]) -> None:
    """Bushes of a density, (N, N): many are shrubland, few are bare ground, some are either."""
    ground = (land.canvas.label == BARE) & (land.canvas.rough < 0.9)
    share = crowns(rng, land.size, density) * (density > 0.01)
    land.dot(rng, ground & (share > 0.05), DRY_SHRUB, share * rng.uniform(0.4, 0.9))
    land.canvas.label[ground & (density > 0.35)] = SHRUB
    land.doubt[ground & (density > 0.06) & (density <= 0.35)] = SHRUB_OR_BARE
