"""A landscape before it has colours: the class of each pixel, and the samples it is made of."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES

WATER, TREES, GRASS, FLOODED, CROPS, SHRUB, BUILT, BARE, SNOW = range(len(NAMES))


@dataclass
class Canvas:
    """A square to paint: each pixel is a mixture of two patches, each with one sample."""

    label: NDArray[np.uint8]
    """Class of each pixel, Dynamic World's ids, (N, N)."""

    first: NDArray[np.int32]
    """Main patch of each pixel, (N, N)."""

    second: NDArray[np.int32]
    """Patch that is mixed into each pixel, (N, N)."""

    share: NDArray[np.float32]
    """Share of the second patch, 0 to 1, (N, N)."""

    covers: list[int] = field(default_factory=list)
    """Class of each patch."""

    rough: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """Share of the terrain's relief in each pixel, (N, N); 0 where people or water made it flat."""

    @classmethod
    def blank(cls, size: int) -> Self:
        """An empty square."""
        zeros = np.zeros((size, size), np.int32)
        return cls(
            zeros.astype(np.uint8),
            zeros.copy(),
            zeros.copy(),
            zeros.astype(np.float32),
            [],
            np.ones((size, size), np.float32),
        )

    @property
    def size(self) -> int:
        """Side of the square, pixels."""
        return self.label.shape[0]

    def patches(self, cover: int, count: int = 1) -> int:
        """Add patches of a class; return the number of the first."""
        self.covers += [cover] * count
        return len(self.covers) - count

    def paint(
        self,
        where: NDArray[np.bool_],
        cover: int,
        first: NDArray[np.integer] | int,
        *,
        second: NDArray[np.integer] | int | None = None,
        share: NDArray[np.float32] | float = 0.0,
    ) -> None:
        """Paint some pixels with patches; arrays are (N, N)."""
        self.label[where] = cover
        self.first[where] = _at(first, where)
        self.second[where] = _at(first if second is None else second, where)
        self.share[where] = _at(share, where)

    def mix(
        self,
        where: NDArray[np.bool_],
        second: NDArray[np.integer] | int,
        share: NDArray[np.float32] | float,
    ) -> None:
        """Mix another patch into some pixels, replacing the one mixed in; labels stay."""
        self.second[where] = _at(second, where)
        self.share[where] = _at(share, where)


def _at(
    value: NDArray[np.generic] | float, where: NDArray[np.bool_]
) -> NDArray[np.generic] | float:
    return value[where] if isinstance(value, np.ndarray) else value
