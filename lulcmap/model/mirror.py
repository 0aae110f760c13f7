"""Mirror land into the parts of a window that have no data.

A network classifies a pixel by its surroundings, up to the whole window. It has seen hardly any
mostly empty windows in training, and misclassifies the little land in them. Where one sensor has
data nothing is mirrored: the network has learnt that case.
"""

import numpy as np
from numpy.typing import NDArray

from lulcmap.system import compiled

MAX_PASSES = 10
"""Most passes of mirroring. A strip of two pixels fills a window of 512 in nine; scattered pixels
would take hundreds, and have no shapes to mirror."""


def mirrored(valid: NDArray[np.bool_]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for every pixel, the valid pixel that stands for it.

    A valid pixel stands for itself. Any other is reflected at the nearest valid pixel, as in
    numpy's padding ``reflect``. Where there is no valid pixel either, the next pass reflects what
    this one mirrored, so that a strip is mirrored again and again. Where nothing can be reflected,
    as beside a line or a lone pixel, the nearest pixel is taken.

    Args:
        valid: (H, W) True where there is data; at least one pixel.

    Returns:
        (H, W) rows and (H, W) columns of valid pixels.

    """
    own = np.indices(valid.shape)
    rows, cols = own[0], own[1]
    filled = valid.copy()
    for _ in range(MAX_PASSES):
        if filled.all() or not _mirror(filled, _nearest(filled), rows, cols):
            break
    if filled.all():
        return rows, cols
    row, col = _nearest(filled)
    return rows[row, col], cols[row, col]


def _nearest(filled: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return (2, H, W) row and column of the nearest filled pixel."""
    from scipy.ndimage import distance_transform_edt  # a tenth of all imports; not all need it

    nearest: NDArray[np.int32] = distance_transform_edt(
        ~filled, return_distances=False, return_indices=True
    )
    return nearest


@compiled
def _mirror(
    filled: NDArray[np.bool_],
    nearest: NDArray[np.int32],
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
) -> bool:
    """Mirror the filled pixels once, in place; return whether any pixel was mirrored."""
    height, width = filled.shape
    before = filled.copy()
    any_new = False
    for y in range(height):
        for x in range(width):
            if before[y, x]:
                continue
            row, col = 2 * nearest[0, y, x] - y, 2 * nearest[1, y, x] - x
            if 0 <= row < height and 0 <= col < width and before[row, col]:
                rows[y, x], cols[y, x] = rows[row, col], cols[row, col]
                filled[y, x] = True
                any_new = True
    return any_new
