"""What a window shows the network where the map has no data: the land beside it, mirrored.

A network judges a pixel by what lies around it, up to the whole window. Of windows that are mostly
empty it has seen next to none in training, and calls the little land there something else. Where
one sensor sees something, nothing is mirrored: that it has learnt.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from lulcmap.system import compiled

MAX_PASSES = 10
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
    for _ in range(MAX_PASSES):
        if known.all() or not _mirror(known, _nearest(known), rows, cols):
            break
    if known.all():
        return rows, cols
    row, col = _nearest(known)
    return rows[row, col], cols[row, col]


def _nearest(known: NDArray[np.bool_]) -> NDArray[np.int32]:
    """(2, H, W) row and column of the nearest known pixel."""
    found: NDArray[np.int32] = distance_transform_edt(
        ~known, return_distances=False, return_indices=True
    )
    return found


@compiled
def _mirror(
    known: NDArray[np.bool_],
    nearest: NDArray[np.int32],
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
            row, col = 2 * nearest[0, y, x] - y, 2 * nearest[1, y, x] - x
            if 0 <= row < height and 0 <= col < width and before[row, col]:
                rows[y, x], cols[y, x] = rows[row, col], cols[row, col]
                known[y, x] = True
                any_new = True
    return any_new
