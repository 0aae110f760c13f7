"""Cut a map into tiles, and each tile into polygons that share their borders exactly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray

from lulcmap.evaluation import ClassMap
from lulcmap.legend import NODATA
from lulcmap.products.minimum import PixelMeasure
from lulcmap.products.patches import add_up, label_patches
from lulcmap.products.rings import trace_rings

_ROWS = 256
"""Rows whose areas are computed at once."""

_CHUNK_VERTICES = 2**20
"""Vertices of the polygons that are made at once."""


@dataclass(frozen=True, slots=True)
class TilePolygons:
    """The polygons of a tile, as rings of places in the map."""

    values: NDArray[np.uint8]
    """(n,) class of each polygon."""

    areas: NDArray[np.int64]
    """(n,) their areas, in units of the measure."""

    sizes: NDArray[np.int64]
    """(n,) what a minimum area is compared with; their areas, or their pixels."""

    is_cut: NDArray[np.bool_]
    """(n,) whether the patch goes on in another tile."""

    vertices: NDArray[np.int32]
    """(v, 2) rows and columns of the vertices of the rings, each closed."""

    starts: NDArray[np.int64]
    """(r + 1,) first vertex of each ring; the last is their count."""

    ring_patches: NDArray[np.int32]
    """(r,) polygon of each ring, its outer one first."""

    def chunks(
        self, wanted: NDArray[np.bool_], transform: Affine
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.object_]]]:
        """Some of the polygons, a chunk at a time.

        Args:
            wanted: (n,) which ones.
            transform: transform from (column, row) to (x, y) of the CRS.

        Yields:
            (m,) their numbers; (m,) the polygons, outer rings counterclockwise, holes clockwise.

        """
        rings = np.argsort(self.ring_patches, kind="stable")
        rings = rings[wanted[self.ring_patches[rings]]]
        lengths = np.diff(self.starts)[rings]
        is_first = np.diff(self.ring_patches[rings], prepend=-1) != 0
        firsts = np.append(np.flatnonzero(is_first), len(rings))
        ends = np.cumsum(lengths)
        if not len(rings):
            return
        chunk = (ends - lengths)[is_first] // _CHUNK_VERTICES
        for number in np.unique(chunk).tolist():
            at = np.flatnonzero(chunk == number)
            some = slice(firsts[at[0]], firsts[at[-1] + 1])
            yield (
                self.ring_patches[rings[firsts[at]]].astype(np.int64),
                self._polygons(rings[some], firsts[at[0] : at[-1] + 2] - firsts[at[0]], transform),
            )

    def _polygons(
        self, rings: NDArray[np.int64], firsts: NDArray[np.int64], transform: Affine
    ) -> NDArray[np.object_]:
        """The polygons of some rings.

        Args:
            rings: (r,) numbers of the rings.
            firsts: (n + 1,) index of the first ring of each polygon, and the count of rings.
            transform: transform from (column, row) to (x, y) of the CRS.

        """
        lengths = np.diff(self.starts)[rings]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        index = np.arange(offsets[-1]) + np.repeat(self.starts[rings] - offsets[:-1], lengths)
        if transform.determinant > 0:  # the first row is at the bottom, so rings run backwards
            index = np.arange(offsets[-1])[::-1] + np.repeat(
                self.starts[rings] + lengths - 1 - (offsets[-1] - 1 - offsets[:-1]), lengths
            )
        rows, cols = self.vertices[index].astype(np.float64).T
        xs = transform.a * cols + transform.b * rows + transform.c
        ys = transform.d * cols + transform.e * rows + transform.f
        places = np.column_stack([xs, ys])
        polygons: NDArray[np.object_] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON, places, (offsets, firsts)
        )
        return polygons


def tile_boxes(shape: tuple[int, int], side: int) -> list[tuple[int, int, int, int]]:
    """Row, column, height and width of the tiles of a map, row by row."""
    height, width = shape
    return [
        (row, col, min(side, height - row), min(side, width - col))
        for row in range(0, height, side)
        for col in range(0, width, side)
    ]


def tile_polygons(
    class_map: ClassMap,
    box: tuple[int, int, int, int],
    measure: PixelMeasure,
    sizing: PixelMeasure,
    *,
    every: int,
) -> TilePolygons:
    """The polygons of one tile.

    Args:
        class_map: the map.
        box: row, column, height and width of the tile.
        measure: areas of its pixels.
        sizing: what a minimum area is compared with; the same, or a count of pixels.
        every: pixels between extra vertices on straight lines; 0 for none.

    """
    framed = _framed(class_map, box)
    labels, patch_values = _labels(framed)
    row, col, height, width = box
    areas = np.zeros(len(patch_values), np.int64)
    sizes = areas if sizing is measure else np.zeros_like(areas)
    for first in range(0, height, _ROWS):
        rows = slice(row + first, row + min(first + _ROWS, height))
        own = labels[rows.start - row + 1 : rows.stop - row + 1, 1:-1]
        add_up(own, measure.of(rows, slice(col, col + width)), areas)
        if sizing is not measure:
            add_up(own, sizing.of(rows, slice(col, col + width)), sizes)
    vertices, starts, ring_patches = trace_rings(labels, framed, (row, col), every)
    is_cut = _cut(labels, framed, len(patch_values))
    return TilePolygons(patch_values, areas, sizes, is_cut, vertices, starts, ring_patches)


def _framed(class_map: ClassMap, box: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """(H + 2, W + 2) values of a tile and of the pixels round it; 255 beyond the map."""
    row, col, height, width = box
    top, left = min(row, 1), min(col, 1)
    below = int(row + height < class_map.shape[0])
    right = int(col + width < class_map.shape[1])
    values = np.full((height + 2, width + 2), NODATA, np.uint8)
    values[1 - top : height + 1 + below, 1 - left : width + 1 + right] = class_map.window(
        row - top, col - left, height + top + below, width + left + right
    )
    return values


def _labels(framed: NDArray[np.uint8]) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """(H + 2, W + 2) number of the patch of each pixel of a tile, -1 round it; their classes."""
    values = framed.copy()
    values[[0, -1]] = values[:, [0, -1]] = NODATA
    return label_patches(values, False)


def _cut(labels: NDArray[np.int32], framed: NDArray[np.uint8], count: int) -> NDArray[np.bool_]:
    """(n,) whether each patch of a tile goes on beyond it."""
    is_cut = np.zeros(count, np.bool_)
    for turns in range(4):
        patches, values = np.rot90(labels, turns)[1, 1:-1], np.rot90(framed, turns)[:2, 1:-1]
        is_cut[patches[(patches >= 0) & (values[0] == values[1])]] = True
    return is_cut
