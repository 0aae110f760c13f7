"""An independent, simple way to clean a small map: the whole at once, patch by patch."""

import numpy as np
from scipy import ndimage

CORNERS = np.ones((3, 3), int)


def patches(values, connectivity=4):
    """(H, W) number of the patch of each pixel, or -1; and how many there are."""
    labels, count = np.full(values.shape, -1), 0
    for value in np.unique(values[values != 255]):
        found, n = ndimage.label(values == value, CORNERS if connectivity == 8 else None)
        labels[found > 0] = found[found > 0] - 1 + count
        count += n
    return labels, count


def clean(values, least, keep=(), connectivity=4):
    """The cleaned values, for a minimum in pixels."""
    labels, count = patches(values, connectivity)
    sizes = np.bincount(labels[labels >= 0], minlength=count)
    now = values.astype(int)  # -1: waits for a class
    gives = (labels >= 0) & (sizes[labels] >= least)
    waiting = [
        one
        for one in range(count)
        if sizes[one] < least and values[labels == one][0] not in set(keep)
    ]
    while waiting:
        chosen = {one: _neighbour(now, gives, labels == one) for one in waiting}
        if not any(value is not None for value in chosen.values()):
            break
        for one, value in chosen.items():
            if value is not None:
                now[labels == one] = value
                gives[labels == one] = True
        waiting = [one for one in waiting if chosen[one] is None]
    return now.astype(np.uint8)


def _neighbour(now, gives, patch):
    """The class with the longest border, of equal ones the first in reading order."""
    height, width = now.shape
    borders = {}
    for row, col in np.argwhere(patch):
        for i, j in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
            if 0 <= i < height and 0 <= j < width and gives[i, j]:
                count, place = borders.get(now[i, j], (0, (i, j)))
                borders[now[i, j]] = count + 1, min(place, (i, j))
    if not borders:
        return None
    return min(borders, key=lambda value: (-borders[value][0], borders[value][1]))
