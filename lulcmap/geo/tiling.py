"""The lattice of windows, fixed in each UTM zone, and the weights that blend the windows.

Everything here is in whole pixels of the zone's 10 m grid, counted from easting 0 and northing 0:
column = easting / 10, row = -northing / 10. So the position of a window does not depend on the area
or the block that needs it, and overlapping areas share their windows.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Blend = Literal["hann", "centre"]
"""How overlapping windows are joined; see ``blend_weights``."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle of whole pixels of a zone's grid."""

    row: int
    """First row, from northing 0 southwards (negative in the northern hemisphere)."""

    col: int
    """First column, from easting 0."""

    height: int
    """Rows."""

    width: int
    """Columns."""

    def __post_init__(self) -> None:
        if self.height <= 0 or self.width <= 0:
            raise ValueError(f"a box of {self.height} x {self.width} pixels is empty")

    @property
    def shape(self) -> tuple[int, int]:
        """Height, width."""
        return self.height, self.width

    @property
    def stop(self) -> tuple[int, int]:
        """First row and first column after the box."""
        return self.row + self.height, self.col + self.width

    def within(self, other: "Box") -> tuple[slice, slice]:
        """Slices of this box in an array over ``other``.

        Raises:
            ValueError: the box is not inside ``other``.

        """
        row, col = self.row - other.row, self.col - other.col
        stop_row, stop_col = row + self.height, col + self.width
        if row < 0 or col < 0 or stop_row > other.height or stop_col > other.width:
            raise ValueError(f"{self} is not inside {other}")
        return slice(row, stop_row), slice(col, stop_col)

    def intersection(self, other: "Box") -> "Box | None":
        """The pixels in both boxes; None if there are none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        stop_row = min(self.stop[0], other.stop[0])
        stop_col = min(self.stop[1], other.stop[1])
        if row >= stop_row or col >= stop_col:
            return None
        return Box(row, col, stop_row - row, stop_col - col)

    def grown(self, cells: int) -> "Box":
        """This box with ``cells`` more pixels on each side."""
        return Box(
            self.row - cells, self.col - cells, self.height + 2 * cells, self.width + 2 * cells
        )


@dataclass(frozen=True, slots=True)
class Lattice:
    """Positions of windows: every ``step`` pixels from the zone's origin, on both axes."""

    size: int = 512
    """Pixels a side of one window."""

    step: int = 384
    """Pixels from one window to the next; at least half of ``size``, so that at most two windows
    overlap on an axis."""

    def __post_init__(self) -> None:
        if not self.size / 2 <= self.step <= self.size:
            raise ValueError(f"step {self.step} is not between half of size {self.size} and size")

    @property
    def overlap(self) -> int:
        """Pixels that neighbouring windows share on one axis."""
        return self.size - self.step

    def reaching(self, box: Box) -> list[Box]:
        """All windows that contain a pixel of the box, row by row."""
        return [
            Box(row, col, self.size, self.size)
            for row in self.starts(box.row, box.stop[0])
            for col in self.starts(box.col, box.stop[1])
        ]

    def starts(self, start: int, stop: int) -> range:
        """First pixels, on one axis, of the windows that contain a pixel in [start, stop)."""
        first = (start - self.size) // self.step + 1
        last = (stop - 1) // self.step
        return range(first * self.step, last * self.step + 1, self.step)

    def blocks(self, area: Box, *, block_size: int) -> list[tuple[tuple[int, int], Box]]:
        """The blocks that tile an area, each clipped to it, row by row.

        The edges of a block lie in the middle of a window, so that neighbours both compute one row
        of windows, not two.

        Args:
            area: box to tile.
            block_size: pixels a side of a block, a multiple of ``step``.

        Returns:
            Pairs of a block's row and column, counted from the zone's origin, and its box.

        """
        if block_size <= 0 or block_size % self.step:
            raise ValueError(f"block size {block_size} is not a multiple of {self.step}")
        middle = self.size // 2
        rows = range(
            (area.row - middle) // block_size, (area.stop[0] - 1 - middle) // block_size + 1
        )
        cols = range(
            (area.col - middle) // block_size, (area.stop[1] - 1 - middle) // block_size + 1
        )
        blocks = []
        for row in rows:
            for col in cols:
                whole = Box(row * block_size + middle, col * block_size + middle, *[block_size] * 2)
                clipped = whole.intersection(area)
                if clipped is not None:
                    blocks.append(((row, col), clipped))
        return blocks


def blend_weights(lattice: Lattice, *, stride: int, blend: Blend = "hann") -> NDArray[np.float32]:
    """Weights of one window along one axis, one for each cell of the network's output.

    ``hann``: a raised-cosine ramp over the overlap only, one elsewhere. ``centre``: one in the
    middle ``step`` pixels, zero outside. The weights of all windows over a cell sum to 1.

    Args:
        lattice: lattice of the windows.
        stride: pixels a side of one output cell; divides the lattice's size, step and overlap / 2.
        blend: how windows are joined.

    Returns:
        (size / stride,) weights, 0 to 1.

    Raises:
        ValueError: the stride does not divide the lattice.

    Examples:
        >>> blend_weights(Lattice(size=8, step=4), stride=1)[:4].round(3)
        array([0.038, 0.309, 0.691, 0.962], dtype=float32)

    """
    if lattice.size % stride or lattice.step % stride or lattice.overlap // 2 % stride:
        raise ValueError(f"stride {stride} does not divide the lattice {lattice}")
    cells, ramp = lattice.size // stride, lattice.overlap // stride
    weights = np.ones(cells, np.float32)
    if not ramp:
        return weights
    if blend == "centre":
        weights[: ramp // 2] = weights[cells - ramp // 2 :] = 0
    else:
        rise = (np.sin(np.pi / 2 * (np.arange(ramp) + 0.5) / ramp) ** 2).astype(np.float32)
        weights[:ramp] = rise
        weights[cells - ramp :] = np.float32(1) - rise
    return weights
