"""What a window shows the network where the map has no data: the land beside it, mirrored.

A network judges a pixel by what lies around it, up to the whole window. Of a window that is mostly
empty it has seen nothing in training, and calls the little land in it something else.
"""

import numpy as np
from numpy.typing import NDArray

from lulcmap.compiled import compiled

PASSES = 10
"""Times that land is mirrored. A strip of two pixels fills a window of 512 in nine; scattered
pixels would take hundreds, and have no shapes to be mirrored."""


def mirrored(there: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For every pixel the one it shows.

    A pixel that is there shows itself. Any other shows what lies as far behind the nearest pixel
    that is there as itself lies before it, as in numpy's padding ``reflect``. Where that is not
    there either, it shows what was mirrored before: a strip is mirrored again and again. What
    nothing lies behind, as beside a line or a lone pixel, shows the nearest.

    Args:
        there: (H, W) True where there is data; at least one pixel.

    Returns:
        (H, W) rows and (H, W) columns of pixels that are there.

    """
    own = np.indices(there.shape)
    rows, cols = own[0], own[1]
    known = there.copy()
    for _ in range(PASSES):
        if known.all():
            return rows, cols
        if not _mirror(known, *_nearest(known), rows, cols):
            break
    nearest = _nearest(known)
    return rows[nearest], cols[nearest]


@compiled
def _nearest(known: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For every pixel the nearest known one, or one hardly further away (Danielsson 1980).

    One sweep down and one up; in each, every row is swept both ways.
    """
    height, width = known.shape
    rows, cols = np.full((height, width), -1), np.full((height, width), -1)
    for y in range(height):
        for x in range(width):
            if known[y, x]:
                rows[y, x], cols[y, x] = y, x
    for sweep in range(2):
        step = 1 - 2 * sweep
        for i in range(height):
            y = i if step > 0 else height - 1 - i
            before = y - step
            for j in range(2 * width):
                x = j if j < width else 2 * width - 1 - j
                beside = x - 1 if j < width else x + 1
                if 0 <= beside < width:
                    _nearer(rows, cols, y, x, y, beside)
                if 0 <= before < height and j < width:
                    for other in range(max(0, x - 1), min(width, x + 2)):
                        _nearer(rows, cols, y, x, before, other)
    return rows, cols


@compiled
def _nearer(
    rows: NDArray[np.intp], cols: NDArray[np.intp], y: int, x: int, by: int, bx: int
) -> None:
    """Let a pixel take its neighbour's known pixel, if that is nearer than its own."""
    row, col = rows[by, bx], cols[by, bx]
    if row < 0:
        return
    new = (row - y) ** 2 + (col - x) ** 2
    if rows[y, x] < 0 or new < (rows[y, x] - y) ** 2 + (cols[y, x] - x) ** 2:
        rows[y, x], cols[y, x] = row, col


@compiled
def _mirror(
    known: NDArray[np.bool_],
    near_rows: NDArray[np.intp],
    near_cols: NDArray[np.intp],
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
) -> bool:
    """Mirror what is known once, in place; whether there was anything to mirror."""
    height, width = known.shape
    before = known.copy()
    any_new = False
    for y in range(height):
        for x in range(width):
            if before[y, x]:
                continue
            row, col = 2 * near_rows[y, x] - y, 2 * near_cols[y, x] - x
            if 0 <= row < height and 0 <= col < width and before[row, col]:
                rows[y, x], cols[y, x] = rows[row, col], cols[row, col]
                known[y, x] = True
                any_new = True
    return any_new
