"""The exact share of each pixel that a polygon covers, and what it covers of each class.

Every edge adds, to the pixels of the rows it crosses, the area between itself and their right side:
positive where it runs down, negative where it runs up. A running sum along the row then is the
covered share: 1 inside, 0 outside, and the exact part at the border, as font renderers do it. Two
neighbours add and subtract the same at the edges they share, so their shares of a pixel add up.
"""

import math
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.system import compiled

Box = tuple[int, int, int, int]
"""Row, column, height and width of a window of a map."""

_N_VALUES = 256

_NOTHING = 1e-9
"""Share of a pixel that is rounding."""


def polygon_edges(polygons: NDArray[np.object_]) -> NDArray[np.float64]:
    """(n, 4) edges x, y, x, y of some polygons, outer rings clockwise where y points up.

    Args:
        polygons: valid polygons and multipolygons that do not overlap, in columns and rows.

    """
    rings = shapely.get_rings(shapely.normalize(shapely.get_parts(polygons)))
    corners, ring = shapely.get_coordinates(rings, return_index=True)
    is_edge = ring[1:] == ring[:-1]
    return np.ascontiguousarray(np.hstack([corners[:-1][is_edge], corners[1:][is_edge]]))


def covered_box(edges: NDArray[np.float64], box: Box) -> Box | None:
    """The part of a window that holds all pixels which the edges' polygons touch in it.

    Args:
        edges: (n, 4) edges, in columns and rows of the map.
        box: the window.

    Returns:
        The part, as a window of the map; None if there is none.

    """
    if not len(edges):
        return None
    row, col, height, width = box
    left, top = np.floor(edges.reshape(-1, 2).min(axis=0))
    right, foot = np.ceil(edges.reshape(-1, 2).max(axis=0))
    first_row, first_col = max(row, int(top)), max(col, int(left))
    rows = min(row + height, int(foot)) - first_row
    cols = min(col + width, int(right)) - first_col
    return (first_row, first_col, rows, cols) if rows > 0 and cols > 0 else None


def covered_shares(edges: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    """(H, W) shares of the pixels of a window that polygons cover, 0 to 1.

    Args:
        edges: (n, 4) edges, as of ``polygon_edges``.
        box: the window.

    """
    return np.cumsum(_changes(edges, box)[:, :-1], axis=1)


def covered_classes(
    values: NDArray[np.uint8],
    areas: NDArray[np.float64],
    edges: NDArray[np.float64],
    box: Box,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Pixels and square metres of each value that polygons cover in a window.

    Args:
        values: (H, W) values of the window's pixels.
        areas: (H, W) their areas, square metres.
        edges: (n, 4) edges, as of ``polygon_edges``.
        box: the window.

    Returns:
        (256,) pixels and (256,) square metres, by value; parts of pixels count in part.

    """
    pixels, square_metres = np.zeros(_N_VALUES), np.zeros(_N_VALUES)
    _add_rows(values, areas, _changes(edges, box), pixels, square_metres)
    return pixels, square_metres


def all_classes(
    values: NDArray[np.uint8], areas: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(256,) pixels and (256,) square metres of each value in a whole window."""
    flat = values.ravel()
    return (
        np.bincount(flat, minlength=_N_VALUES).astype(np.float64),
        np.bincount(flat, areas.ravel(), _N_VALUES).astype(np.float64),
    )


def _changes(edges: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    """(H, W + 1) change of the covered share from each pixel to the next one of its row."""
    row, col, height, width = box
    changes = np.zeros((height, width + 1))
    _add_edges(edges, float(row), float(col), changes)
    return changes


@compiled
def _add_edges(
    edges: NDArray[np.float64], top: float, left: float, changes: NDArray[np.float64]
) -> None:
    """Add the edges to the changes of a window."""
    height = changes.shape[0]
    for i in range(edges.shape[0]):
        x, y, end_x, end_y = edges[i, 0], edges[i, 1], edges[i, 2], edges[i, 3]
        sign = 1.0
        if y > end_y:
            x, y, end_x, end_y = end_x, end_y, x, y
            sign = -1.0
        x, y, end_x, end_y = x - left, y - top, end_x - left, end_y - top
        if y == end_y or end_y <= 0 or y >= height:
            continue
        slope = (end_x - x) / (end_y - y)
        for row in range(max(math.floor(y), 0), min(math.ceil(end_y), height)):
            high, low = max(y, float(row)), min(end_y, row + 1.0)
            if low > high:
                start = x if high == y else x + (high - y) * slope
                end = end_x if low == end_y else x + (low - y) * slope
                _add_piece(changes, row, min(start, end), max(start, end), sign * (low - high))


@compiled
def _add_piece(
    changes: NDArray[np.float64], row: int, start: float, end: float, rise: float
) -> None:
    """Add the piece of an edge in one row, from column ``start`` to ``end``, ``rise`` rows high."""
    width = changes.shape[1] - 1
    if start >= width:
        return
    if end <= 0:
        changes[row, 0] += rise
        return
    if math.floor(start) == math.floor(end):
        col = math.floor(start)
        middle = (start + end) / 2 - col
        changes[row, col] += rise * (1 - middle)
        changes[row, col + 1] += rise * middle
        return
    density = rise / (end - start)
    if start < 0:
        changes[row, 0] -= density * start
        start = 0.0
    end = min(end, float(width))
    col = int(start)
    while start < end:
        stop = min(col + 1.0, end)
        part = density * (stop - start)
        middle = (start + stop) / 2 - col
        changes[row, col] += part * (1 - middle)
        changes[row, col + 1] += part * middle
        start = stop
        col += 1


@compiled
def _add_rows(
    values: NDArray[Any],
    areas: NDArray[np.float64],
    changes: NDArray[np.float64],
    pixels: NDArray[np.float64],
    square_metres: NDArray[np.float64],
) -> None:
    """Add the covered shares of pixels to the sums of their values."""
    for row in range(values.shape[0]):
        share = 0.0
        for col in range(values.shape[1]):
            share += changes[row, col]
            if share > _NOTHING:
                pixels[values[row, col]] += share
                square_metres[values[row, col]] += share * areas[row, col]
