"""Trace the borders of patches along the sides of their pixels.

A vertex stands where a border turns, and where three or more polygons meet, even in the middle of
a straight side of one of them. This depends on the four pixels around a place alone, so all
polygons there have the vertex, also those of another tile: they share their borders exactly.
"""

import numpy as np
from numpy.typing import NDArray

from lulcmap.system import compiled


@compiled
def trace_rings(
    labels: NDArray[np.int32], values: NDArray[np.uint8], first: tuple[int, int], every: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """The rings round the patches of a tile, and round the holes in them.

    The inside lies to the left as seen with the first row on top. Two rings of a patch, or a ring
    of it and one of another, may share single vertices; no ring meets itself.

    Args:
        labels: (H + 2, W + 2) number of the patch of each pixel, -1 for none and in the frame.
            Pixels of a patch hang together by their sides.
        values: (H + 2, W + 2) classes of the pixels, 255 nodata, and of those round the tile.
        first: row and column of the tile's first pixel in the map.
        every: rows and columns between extra vertices on straight lines, counted in the map; 0 for
            none.

    Returns:
        (n, 2) rows and columns in the map of the vertices, each ring closed; (m + 1,) index of the
        first vertex of each ring, and their count; (m,) patch of each ring. The first ring of a
        patch is its outer one.

    """
    height, width = labels.shape
    vertices = np.empty((4096, 2), np.int32)
    starts, patches = np.zeros(1024, np.int64), np.zeros(1024, np.int32)
    done = np.zeros((height, width), np.bool_)  # upper sides that are in a ring
    count, rings = 0, 0
    ahead, right = ((1, 0), (0, 1), (-1, 0), (0, -1)), ((0, -1), (1, 0), (0, 1), (-1, 0))
    corner = ((1, 0), (1, 1), (0, 1), (0, 0))  # at which the left, lower, right, upper side ends
    for start_row in range(1, height - 1):
        for start_col in range(1, width - 1):
            patch = labels[start_row, start_col]
            if patch < 0 or done[start_row, start_col] or labels[start_row - 1, start_col] == patch:
                continue
            if rings + 1 >= starts.size:
                starts = np.append(starts, np.zeros(starts.size, np.int64))
                patches = np.append(patches, np.zeros(patches.size, np.int32))
            starts[rings], patches[rings] = count, patch
            rings += 1
            row, col, way = start_row, start_col, 3  # 0 to 3: down, right, up, left
            while True:
                if way == 3:
                    done[row, col] = True
                up, along = row + corner[way][0], col + corner[way][1]
                i, j = row + ahead[way][0], col + ahead[way][1]
                other_i, other_j = i + right[way][0], j + right[way][1]
                if labels[other_i, other_j] == patch:
                    row, col, way = other_i, other_j, (way + 3) % 4
                    is_vertex = True
                elif labels[i, j] == patch:
                    outside = values[row + right[way][0], col + right[way][1]]
                    is_vertex = outside != values[other_i, other_j]
                    if every:
                        place = up - 1 + first[0] if way % 2 == 0 else along - 1 + first[1]
                        is_vertex = is_vertex or place % every == 0
                    row, col = i, j
                else:
                    way = (way + 1) % 4
                    is_vertex = True
                is_closed = row == start_row and col == start_col and way == 3
                for _ in range(is_vertex + is_closed):
                    if count == len(vertices):
                        grown = np.empty((2 * count, 2), np.int32)
                        grown[:count] = vertices
                        vertices = grown
                    if is_vertex:
                        vertices[count, 0] = up - 1 + first[0]
                        vertices[count, 1] = along - 1 + first[1]
                    else:
                        vertices[count] = vertices[starts[rings - 1]]
                    count += 1
                    is_vertex = False
                if is_closed:
                    break
    starts[rings] = count
    return vertices[:count], starts[: rings + 1], patches[:rings]
