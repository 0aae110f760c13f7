"""Places: labels that are near each other, which are never on both sides of a cross-validation."""

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.cluster.hierarchy import DisjointSet

from lulcmap.adaptation.labels import Labels

PLACE_M = 1000.0
"""Side of the squares whose labels are one place, metres."""

Cell = tuple[int, int]
"""Row and column of a square, counted from the equator and from Greenwich."""

_DEGREE_M = 111_320.0
"""Metres of a degree of latitude."""


def places_of(labels: Labels) -> NDArray[np.intp]:
    """(n,) number of each label's place, 0 to P - 1, in the order of the places on the ground.

    A place is a square of ``PLACE_M`` a side; squares that a polygon lies in are one place.

    Args:
        labels: the labels.

    """
    cells = cells_of(labels)
    linked = DisjointSet({cell for touched in cells for cell in touched})
    for touched in cells:
        for cell in touched[1:]:
            linked.merge(touched[0], cell)
    roots = [linked[touched[0]] for touched in cells]
    numbers = {root: number for number, root in enumerate(sorted(set(roots)))}
    return np.array([numbers[root] for root in roots], np.intp)


def cells_of(labels: Labels) -> list[list[Cell]]:
    """The squares that each label's box touches."""
    return [_cells(shape) for shape in labels.shapes]


def _cells(shape: shapely.Geometry) -> list[Cell]:
    """Row and column of the squares that a shape's box touches."""
    west, south, east, north = shape.bounds
    cells = []
    first_row, last_row = (int(np.floor(lat * _DEGREE_M / PLACE_M)) for lat in (south, north))
    for row in range(first_row, last_row + 1):
        middle = np.clip((row + 0.5) * PLACE_M / _DEGREE_M, -89.9, 89.9)
        width = PLACE_M / (_DEGREE_M * np.cos(np.radians(middle)))
        first, last = (int(np.floor(lon / width)) for lon in (west, east))
        cells += [(row, column) for column in range(first, last + 1)]
    return cells


def folds_of(
    places: NDArray[np.intp], *, folds: int, seed: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.intp]:
    """(n,) fold of each label: places in random order, each to the fold with the fewest labels.

    Args:
        places: (n,) number of each label's place.
        folds: number of folds.
        seed: random seed.
        weights: (n,) what to balance; None for the number of labels.

    """
    sizes = np.bincount(places, weights=weights)
    load = np.zeros(folds)
    fold = np.zeros(len(sizes), np.intp)
    for place in np.random.default_rng(seed).permutation(len(sizes)):
        if sizes[place]:
            fold[place] = np.argmin(load)
            load[fold[place]] += sizes[place]
    return fold[places]
