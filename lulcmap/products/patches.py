"""Patches: connected pixels of one class, labelled in strips of rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lulcmap.evaluation import ClassMap
from lulcmap.legend import NODATA
from lulcmap.system import compiled

_STRIP_PX = 2**21
"""Most pixels of a strip; a strip takes some 50 bytes for each."""

_READ_ROWS = 512
"""Rows that are read at once: those of a tile of a lulcmap map."""


@compiled
def label_patches(
    values: NDArray[np.uint8], diagonal: bool
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Number the patches of some rows by their first pixels; those without a class are -1.

    Args:
        values: (H, W) classes, 255 nodata.
        diagonal: whether pixels that touch at a corner belong to one patch.

    Returns:
        (H, W) number of the patch of each pixel; (n,) class of each patch.

    """
    height, width = values.shape
    labels = np.full((height, width), -1, np.int32)
    # Room for a patch a pixel: the system gives memory for what is used of it.
    parent, classes = np.empty(values.size, np.int32), np.empty(values.size, np.uint8)
    count = 0
    for row in range(height):
        for col in range(width):
            value = values[row, col]
            if value == 255:
                continue
            label = -1
            for side in range(4 if diagonal else 2):
                i, j = row - (side > 0), col + (-1, 0, -1, 1)[side]
                if i < 0 or j < 0 or j >= width or values[i, j] != value:
                    continue
                other = labels[i, j]
                while parent[other] != other:
                    parent[other] = parent[parent[other]]
                    other = parent[other]
                if label < 0:
                    label = other
                elif other < label:
                    parent[label] = other
                    label = other
                else:
                    parent[other] = label
            if label < 0:
                parent[count], classes[count] = count, value
                label = count
                count += 1
            labels[row, col] = label
    found = 0
    for i in range(count):  # a parent comes before its children
        if parent[i] == i:
            parent[i], classes[found] = found, classes[i]
            found += 1
        else:
            parent[i] = parent[parent[i]]
    for row in range(height):
        for col in range(width):
            if labels[row, col] >= 0:
                labels[row, col] = parent[labels[row, col]]
    return labels, classes[:found].copy()


@compiled
def add_up(labels: NDArray[np.int32], amounts: NDArray[np.int64], sums: NDArray[np.int64]) -> None:
    """Add the amounts of pixels to the sums of their patches.

    Args:
        labels: (H, W) number of the patch of each pixel, or -1.
        amounts: (H, W) amounts.
        sums: (n,) sums by patch, changed.

    """
    for row in range(labels.shape[0]):
        for col in range(labels.shape[1]):
            if labels[row, col] >= 0:
                sums[labels[row, col]] += amounts[row, col]


@dataclass(frozen=True, slots=True)
class Strip:
    """Some rows of a map, whole as it is wide."""

    number: int
    """Number of the strip, from the top."""

    rows: slice
    """Its rows."""

    values: NDArray[np.uint8]
    """(H, W) classes, 255 nodata."""

    labels: NDArray[np.int32]
    """(H, W) number of the patch of each pixel within the strip, or -1."""

    patch_values: NDArray[np.uint8]
    """(n,) class of each patch."""


class Strips:
    """The strips of a map, read and labelled when they are asked for."""

    def __init__(self, class_map: ClassMap, *, diagonal: bool, height: int | None = None) -> None:
        """Cut a map into strips.

        Args:
            class_map: the map.
            diagonal: whether pixels that touch at a corner belong to one patch.
            height: rows of a strip; None takes what fits in memory.

        """
        rows, width = class_map.shape
        if height is None:
            height = 2 ** max(4, (_STRIP_PX // width).bit_length() - 1)
        self.class_map, self.diagonal, self.height = class_map, diagonal, height
        self.rows = [slice(row, min(row + height, rows)) for row in range(0, rows, height)]
        self._read_rows = max(_READ_ROWS // height, 1) * height
        self._chunk: tuple[int, NDArray[np.uint8]] | None = None

    def strip(self, number: int) -> Strip:
        """Read and label one strip."""
        rows = self.rows[number]
        values = self._values(rows)
        labels, patch_values = label_patches(values, self.diagonal)
        return Strip(number, rows, values, labels, patch_values)

    def __iter__(self) -> Iterator[Strip]:
        return map(self.strip, range(len(self.rows)))

    def _values(self, rows: slice) -> NDArray[np.uint8]:
        first = rows.start // self._read_rows * self._read_rows
        if self._chunk is None or self._chunk[0] != first:
            height, width = self.class_map.shape
            count = min(self._read_rows, height - first)
            self._chunk = None  # so that there is one at a time
            self._chunk = first, self.class_map.window(first, 0, count, width)
        return self._chunk[1][rows.start - first : rows.stop - first]


@dataclass(frozen=True, slots=True)
class Border:
    """The last row of a strip, and the patches that reach it: the strip below may continue them."""

    values: NDArray[np.uint8]
    """(W,) classes."""

    patches: NDArray[np.int64]
    """(W,) number of the patch of each pixel among these, or -1."""

    count: int
    """How many patches reach it."""

    @classmethod
    def none(cls, width: int) -> "Border":
        """The border above the first strip."""
        return cls(np.full(width, NODATA, np.uint8), np.full(width, -1, np.int64), 0)

    def join(self, strip: Strip, *, diagonal: bool) -> tuple[NDArray[np.int64], int]:
        """Join the patches above with those of a strip.

        Args:
            strip: the strip below.
            diagonal: whether pixels that touch at a corner belong to one patch.

        Returns:
            (count + n,) number of the joined patch, of the patches above, then of the strip's; and
            how many there are.

        """
        width = len(self.values)
        above, below = [], []
        for shift in (-1, 0, 1) if diagonal else (0,):
            up = slice(max(-shift, 0), width - max(shift, 0))
            down = slice(max(shift, 0), width - max(-shift, 0))
            same = (self.values[up] == strip.values[0, down]) & (self.patches[up] >= 0)
            above.append(self.patches[up][same])
            below.append(strip.labels[0, down][same])
        first, second = np.concatenate(above), np.concatenate(below) + self.count
        total = self.count + len(strip.patch_values)
        links = coo_array((np.ones(len(first), np.bool_), (first, second)), shape=(total, total))
        found, joined = connected_components(links, directed=False)
        return joined.astype(np.int64), found

    @classmethod
    def below(cls, strip: Strip, joined: NDArray[np.int64]) -> tuple["Border", NDArray[np.int64]]:
        """The border of a strip.

        Args:
            strip: the strip.
            joined: (n,) number of the joined patch of each of the strip's.

        Returns:
            The border, and the numbers of the joined patches that reach it, in its order.

        """
        last = strip.labels[-1]
        patches = np.full(len(last), -1, np.int64)
        reached, patches[last >= 0] = np.unique(joined[last[last >= 0]], return_inverse=True)
        return cls(strip.values[-1].copy(), patches, len(reached)), reached
