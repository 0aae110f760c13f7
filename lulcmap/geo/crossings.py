"""A bound on polygons that cross themselves or each other, whose repair would take hours."""

import numpy as np
import shapely
from numpy.typing import NDArray

from lulcmap.errors import UsageError

MAX_SELF_CROSSINGS = 1_500
"""Crossings of one polygon's edges that are repaired, in seconds; time grows with their square."""

MAX_CROSSINGS = 250_000
"""Crossings between the edges of polygons that are united; some 20 s."""

_SAMPLE = 4_000
"""Edges from which the crossings between polygons are estimated."""


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


def check_overlaps(polygons: NDArray[np.object_], source: str) -> None:
    """Check that the edges of polygons do not cross so often that their union would not end.

    Args:
        polygons: (n,) valid polygons.
        source: what they belong to, for the message.

    Raises:
        UsageError: they do.

    """
    edges = _edges(polygons, most=_SAMPLE)
    total = int(shapely.get_num_coordinates(polygons).sum())
    if len(polygons) < 2 or total**2 / 2 <= MAX_CROSSINGS:
        return
    tree = shapely.STRtree(polygons)
    hits = sum(
        tree.query(part, predicate="crosses").shape[1]
        for part in np.array_split(edges, max(len(edges) // 50, 1))
    )
    estimate = hits / len(edges) * total
    if estimate > MAX_CROSSINGS:
        raise UsageError(
            f"{source} has polygons whose edges cross each other some {estimate:,.0f} times; the "
            f"limit is {MAX_CROSSINGS:,}. Give their outline: unite them first, for example with "
            "QGIS: Dissolve."
        )


def _self_crossings(shape: shapely.Polygon | shapely.MultiPolygon) -> int:
    """Pairs of a polygon's edges that cross; just over the limit if there are more."""
    edges = _edges(np.array([shape], dtype=object))
    tree = shapely.STRtree(edges)
    found, first, size = 0, 0, 8
    while first < len(edges) and found <= 2 * MAX_SELF_CROSSINGS:
        found += tree.query(edges[first : first + size], predicate="crosses").shape[1]
        first, size = first + size, min(2 * size, 50_000)
    return found // 2


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
