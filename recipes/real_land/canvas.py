"""A landscape before it has colours: which class each pixel is, and which samples it is made of."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES

WATER, TREES, GRASS, FLOODED, CROPS, SHRUB, BUILT, BARE, SNOW = range(len(NAMES))


@dataclass
class Canvas:
    """A square being painted: each pixel is a mixture of two patches, each of one sample."""

    label: NDArray[np.uint8]
    """(N, N) Dynamic World's ids."""

    first: NDArray[np.int32]
    """(N, N) the patch a pixel is made of."""

    second: NDArray[np.int32]
    """(N, N) the patch that is mixed in."""

    share: NDArray[np.float32]
    """(N, N) of the second patch, 0 to 1."""

    covers: list[int] = field(default_factory=list)
    """The class of every patch."""

    rough: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    """(N, N) how much of the terrain's relief a pixel has: 0 where people or water made it flat."""

    @classmethod
    def blank(cls, size: int) -> Self:
        """A square without anything."""
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
        """Pixels a side."""
        return self.label.shape[0]

    def patches(self, cover: int, count: int = 1) -> int:
        """Make new patches of a class; the number of the first."""
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
        """Cover some pixels with patches; arrays are (N, N)."""
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
        """Mix another patch into some pixels, in place of what was mixed in; labels stay."""
        self.second[where] = _at(second, where)
        self.share[where] = _at(share, where)


def _at(
    value: NDArray[np.generic] | float, where: NDArray[np.bool_]
) -> NDArray[np.generic] | float:
    return value[where] if isinstance(value, np.ndarray) else value
