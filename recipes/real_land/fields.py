"""Farmland: parcels, pastures, hedges, orchards, circles under pivots."""

import numpy as np
from numpy.typing import NDArray

from recipes.real_land.canvas import BARE, CROPS, GRASS, TREES, Canvas
from recipes.real_land.noise import coordinates, fractal, smooth

SOWN_SHARE = 0.6
"""Share of the farmlands whose plots of grass are called crops."""


def make_parcels(rng: np.random.Generator, size: int) -> tuple[NDArray[np.int64], int]:
    """Parcels of a farmed land: (N, N) numbers, and how many there are.

    Strips side by side, each cut into lengths of its own, on a ground that is turned and bent.
    """
    width = float(np.exp(rng.uniform(np.log(3), np.log(45))))
    longer = float(np.exp(rng.normal(0.7, 0.7)))
    u, v = coordinates(size, rng.uniform(0, np.pi))
    if rng.random() < 0.7:
        bend = rng.uniform(0, 0.8) * width
        u = u + bend * smooth(rng, size, 3 * width + 20)
        v = v + bend * smooth(rng, size, 3 * width + 20)
    edges = _random_edges(rng, 2 * size, width)
    strip = np.searchsorted(edges, v.ravel() + size).clip(0, len(edges))
    # one search for all strips: each has its own stretch of the number line
    stretch = 4.0 * size
    cuts = [
        _random_edges(rng, 2 * size, width * longer) + k * stretch for k in range(len(edges) + 1)
    ]
    place = (u.ravel() + size).clip(0, 2 * size) + strip * stretch
    parcel = np.searchsorted(np.concatenate(cuts), place)
    _, parcel = np.unique(parcel, return_inverse=True)
    return parcel.reshape(size, size), int(parcel.max()) + 1


def _random_edges(rng: np.random.Generator, length: float, mean: float) -> NDArray[np.float64]:
    count = int(length / mean * 1.6) + 4
    steps = mean * np.exp(rng.normal(-0.1, 0.45, count))
    edges = np.cumsum(steps) - rng.random() * mean
    return edges[edges < length]


def add_farmland(canvas: Canvas, rng: np.random.Generator, *, pasture: float) -> None:
    """Cut crops, and often grass, into fields with a sample of their own each.

    Args:
        canvas: with regions of crops and grass.
        rng: draws the fields.
        pasture: share of the fields that are grass.

    """
    size = canvas.size
    farmed = canvas.label == CROPS
    if rng.random() < 0.5:
        farmed |= (canvas.label == GRASS) & (fractal(rng, size, 60) > 0)
    if not farmed.any():
        return
    parcel, count = make_parcels(rng, size)
    if rng.random() < 0.7:  # a field is farmed as a whole or not at all
        inside = np.bincount(parcel.ravel(), farmed.ravel(), count)
        farmed = (inside / np.bincount(parcel.ravel(), minlength=count) > 0.5)[parcel]
    orchard = rng.random() < 0.15
    odds = [pasture, 0.12 if orchard else 0.02, 0.03]
    draw = rng.random(count)
    kind = np.select(
        [draw < odds[0], draw < sum(odds[:2]), draw < sum(odds)], [GRASS, TREES, BARE], CROPS
    )
    twins = 1 / (1 + np.exp(-2 * fractal(rng, size, rng.uniform(6, 25), octaves=3)))
    uneven = np.float32(rng.uniform(0.05, 0.4)) * twins.astype(np.float32)
    # Bare fields are crops between two harvests. Grass that is sown or mown in plots is crops to
    # Dynamic World and Esri, a pasture is grass; how it looks does not tell, and its shape does.
    names = {BARE: CROPS, GRASS: CROPS if rng.random() < SOWN_SHARE else GRASS}
    for cover in (GRASS, TREES, BARE, CROPS):
        first = canvas.patches(cover, 2 * count)
        where = farmed & (kind == cover)[parcel]
        named = names.get(cover, cover)
        canvas.paint(where, named, first + parcel, second=first + count + parcel, share=uneven)
    canvas.rough[farmed] *= 0.4
    if rng.random() < 0.5:
        _add_hedges(canvas, rng, parcel, farmed)
    if rng.random() < 0.3:
        _add_lone_trees(canvas, rng, farmed)


def _add_hedges(
    canvas: Canvas,
    rng: np.random.Generator,
    parcel: NDArray[np.int64],
    farmed: NDArray[np.bool_],
) -> None:
    """Trees, or grass, along some of the borders between fields: too thin for a class of its own.

    Annotators of Dynamic World drew nothing under five pixels across.
    """
    border = np.zeros(parcel.shape, np.bool_)
    border[:, 1:] |= parcel[:, 1:] != parcel[:, :-1]
    border[1:] |= parcel[1:] != parcel[:-1]
    border &= farmed & (smooth(rng, canvas.size, 10) > rng.uniform(-1, 1.2))
    trees = rng.random() < 0.7
    patch = canvas.patches(TREES if trees else GRASS)
    thick = (0.5 + 0.35 * smooth(rng, canvas.size, 4)).clip(0.1, 0.9)
    canvas.mix(border, patch, thick)


def _add_lone_trees(canvas: Canvas, rng: np.random.Generator, farmed: NDArray[np.bool_]) -> None:
    """Lone trees all over the fields, which stay fields."""
    crown = smooth(rng, canvas.size, rng.uniform(2, 3)) + 0.4 * smooth(rng, canvas.size, 40)
    thick = (crown - rng.uniform(1.2, 2)).clip(0, 0.8).astype(np.float32)
    canvas.mix(farmed & (thick > 0), canvas.patches(TREES), thick)


def add_pivots(canvas: Canvas, rng: np.random.Generator) -> None:
    """Round fields of one size on a lattice, as water that turns about a well makes them."""
    size = canvas.size
    spacing = rng.uniform(30, 90)
    u, v = coordinates(size, rng.uniform(0, 0.2))
    col, row = np.floor(u / spacing).astype(np.int64), np.floor(v / spacing).astype(np.int64)
    far = np.hypot(u - (col + 0.5) * spacing, v - (row + 0.5) * spacing)
    key = (row - row.min()) * (int(np.ptp(col)) + 1) + col - col.min()
    count = int(key.max()) + 1
    sown = rng.random(count) < rng.uniform(0.4, 0.9)
    where = (far < 0.48 * spacing) & sown[key] & (canvas.rough > 0)
    first = canvas.patches(CROPS, 2 * count)
    canvas.paint(where, CROPS, first + key, second=first + count + key, share=0.15)
    canvas.rough[where] = 0.1
