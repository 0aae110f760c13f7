"""A bound on polygons that cross themselves or each other, whose repair would take hours."""

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from lulcmap.errors import UsageError

MAX_SELF_CROSSINGS = 1_500
"""Crossings of one polygon's edges that are repaired, in seconds; time grows with their square."""

MAX_CROSSINGS = 250_000
"""Crossings between the edges of polygons that are united; some 20 s."""

_SAMPLE = 10_000
"""Edges that are looked at; of more, crossings are estimated from so many."""


def repaired(polygons: NDArray[np.object_], source: str) -> NDArray[np.object_]:
    """Polygons with those that are not valid repaired.

    Args:
        polygons: (n,) polygons or multipolygons.
        source: what they belong to, for the message.

    Raises:
        UsageError: their edges cross so often that no repair would end.

    """
    shapes = np.array(polygons, dtype=object)
    broken = ~shapely.is_valid(shapes)
    work = 0.0
    for shape in shapes[broken]:
        count = _self_crossings(shape)
        work += float(count) ** 2
        if work > MAX_SELF_CROSSINGS**2:
            raise UsageError(
                f"{source} has polygons whose edges cross themselves {count:,} times or more; the "
                f"limit is about {MAX_SELF_CROSSINGS:,}. Give the outline of the area, or repair "
                "it, for example with QGIS: Fix geometries."
            )
    shapes[broken] = shapely.make_valid(shapes[broken])
    return shapes


def united(polygons: NDArray[np.object_], source: str) -> BaseGeometry:
    """The union of polygons.

    Args:
        polygons: (n,) valid polygons.
        source: what they belong to, for the message.

    Raises:
        UsageError: their edges cross so often that their union would not end.

    """
    total = int(shapely.get_num_coordinates(polygons).sum())
    if len(polygons) > 1 and total**2 / 2 > MAX_CROSSINGS:
        edges, tree = _edges(polygons, most=_SAMPLE), shapely.STRtree(polygons)
        if _crossings(tree, edges, share=len(edges) / total, limit=MAX_CROSSINGS) > MAX_CROSSINGS:
            _check_growth(polygons, total, source)
    return shapely.union_all(polygons)


def _check_growth(polygons: NDArray[np.object_], total: int, source: str) -> None:
    """Unite two by two, and stop where a tangle grows; where polygons overlap, corners vanish."""
    parts = polygons
    while len(parts) > 1:
        parts = np.array([shapely.union_all(parts[i : i + 2]) for i in range(0, len(parts), 2)])
        count = int(shapely.get_num_coordinates(parts).sum())
        if count > total + MAX_CROSSINGS:
            raise UsageError(
                f"{source} has polygons whose edges cross each other more than "
                f"{MAX_CROSSINGS:,} times. Give their outline: simplify and unite them first, for "
                "example with QGIS: Dissolve."
            )


def _self_crossings(shape: shapely.Polygon | shapely.MultiPolygon) -> int:
    """Pairs of a polygon's edges that cross; estimated from a sample if there are many edges."""
    shapes = np.array([shape], dtype=object)
    tree, chosen = shapely.STRtree(_edges(shapes)), _edges(shapes, most=_SAMPLE)
    share = len(chosen) / max(len(tree), 1)
    return _crossings(tree, chosen, share=share, limit=2 * MAX_SELF_CROSSINGS) // 2


def _crossings(
    tree: shapely.STRtree, edges: NDArray[np.object_], *, share: float, limit: int
) -> int:
    """Crossings of edges and the shapes of a tree, soon after they are more than a limit.

    Args:
        tree: tree of edges or polygons.
        edges: (n,) edges in random order.
        share: how many of all edges they are, 0 to 1.
        limit: limit of all edges' crossings.

    """
    found, first, size = 0, 0, 8
    while first < len(edges) and found <= limit * share:
        found += tree.query(edges[first : first + size], predicate="crosses").shape[1]
        first, size = first + size, min(2 * size, 512)
    return round(found / share)


def _edges(shapes: NDArray[np.object_], *, most: int | None = None) -> NDArray[np.object_]:
    """Edges of polygons as lines, in random order; at most ``most`` of them."""
    corners, ring = shapely.get_coordinates(
        shapely.get_rings(shapely.get_parts(shapes)), return_index=True
    )
    starts = np.flatnonzero(ring[:-1] == ring[1:])
    starts = np.random.default_rng(0).permutation(starts)[:most]
    lines: NDArray[np.object_] = shapely.linestrings(
        np.stack([corners[starts], corners[starts + 1]], axis=1)
    )
    return lines
