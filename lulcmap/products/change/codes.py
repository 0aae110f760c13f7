"""Codes of a change raster: one for each pair of classes, with its name and colour."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.products.change.legends import UNSURE

UNSURE_NAME = "unsure"
"""Name of pixels whose class is not sure enough."""

UNSURE_PAIR = UNSURE, UNSURE
"""Pair that stands for these pixels, whichever of the two classes is unsure."""

Colour = tuple[int, int, int]

_GREY, _PAPER, _UNKNOWN = (128, 128, 128), (255, 255, 255), (173, 181, 189)
"""Colours of unsure pixels, of what unchanged ones are mixed with, and of classes without one."""

_UNCHANGED_PART, _AFTER_PART = 0.25, 0.8
"""Part of the class's colour in that of unchanged pixels, and of the new class's in a change."""


@dataclass(frozen=True, slots=True)
class Coding:
    """How a pair of classes becomes a value of the raster: ``base`` x first + last.

    The digits of a code can be read: with nine classes, 14 is from 1 to 4.
    """

    base: int
    """10 if all classes are 0 to 9, 100 if they are 0 to 99, else 256."""

    @classmethod
    def of(cls, values: Collection[int]) -> "Coding":
        """The coding for classes of some values."""
        most = max(values, default=0)
        return cls(10 if most <= 9 else 100 if most <= 99 else 256)

    @property
    def dtype(self) -> str:
        """Type of the raster."""
        return "uint8" if self.base == 10 else "uint16"

    @property
    def nodata(self) -> int:
        """Value of pixels that are not mapped in both years."""
        return NODATA if self.base == 10 else 65_535

    @property
    def unsure(self) -> int:
        """Value of pixels that are unsure in a year."""
        return self.nodata - 1

    def code(self, pair: tuple[int, int]) -> int:
        """Value of a pair of classes."""
        return self.unsure if pair == UNSURE_PAIR else self.base * pair[0] + pair[1]

    def codes(self, first: NDArray[np.uint8], last: NDArray[np.uint8]) -> NDArray[np.generic]:
        """(H, W) values of the raster, of the classes (H, W) in the first and the last map."""
        values = first.astype(self.dtype) * np.dtype(self.dtype).type(self.base) + last
        values[(first == UNSURE) | (last == UNSURE)] = self.unsure
        values[(first == NODATA) | (last == NODATA)] = self.nodata
        return values


def pair_name(pair: tuple[int, int], names: Mapping[int, str]) -> str:
    """Name of a pair of classes.

    Examples:
        >>> pair_name((1, 4), {1: "trees", 4: "crops"}), pair_name((1, 1), {1: "trees"})
        ('trees to crops', 'trees unchanged')

    """
    if pair == UNSURE_PAIR:
        return UNSURE_NAME
    first, last = (names[value] for value in pair)
    return f"{first} unchanged" if pair[0] == pair[1] else f"{first} to {last}"


def pair_colour(pair: tuple[int, int], colours: Mapping[int, Colour]) -> Colour:
    """Colour of a pair: unchanged classes are pale, changes have nearly that of the new class."""
    if pair == UNSURE_PAIR:
        return _GREY
    first, last = (colours.get(value, _UNKNOWN) for value in pair)
    if pair[0] == pair[1]:
        return _mixed(first, _PAPER, _UNCHANGED_PART)
    return _mixed(last, first, _AFTER_PART)


def _mixed(one: Colour, other: Colour, part: float) -> Colour:
    red, green, blue = (round(part * a + (1 - part) * b) for a, b in zip(one, other, strict=True))
    return red, green, blue
