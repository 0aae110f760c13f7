"""A minimum area as a user writes it, and patches measured against it."""

import math
import re
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation import ClassMap, pixel_areas
from lulcmap.geo import has_known_areas

_AREA = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*(px|m2|ha|km2)\s*", re.IGNORECASE)

_SQUARE_METRES = {"m2": 1.0, "ha": 1e4, "km2": 1e6}

_CHUNK_ROWS = 128
"""Rows whose areas are computed at once. They start at multiples of it, so that the area of a pixel
does not depend on the strip it is read in."""

_UNITS_PER_PIXEL = 1_000_000
"""Area of a pixel in the whole numbers that are added up: sums do not depend on their order."""


@dataclass(frozen=True, slots=True)
class MinimumArea:
    """The area of the smallest patch that stays."""

    value: float
    """The number."""

    unit: str
    """``"px"``, ``"m2"``, ``"ha"`` or ``"km2"``."""

    @classmethod
    def of(cls, text: str, option: str = "--min-area") -> "MinimumArea":
        """A minimum area from a text such as ``"0.5ha"``.

        Args:
            text: a number and a unit.
            option: option that gives it, for the message.

        Raises:
            UsageError: it is no such text.

        """
        match = _AREA.fullmatch(text)
        if match is None or not float(match[1]):
            raise UsageError(
                f"{option} is {text!r}; give a number above 0 and its unit, one of px, m2, ha or "
                "km2, such as 0.5ha."
            )
        return cls(float(match[1]), match[2].lower())

    def __str__(self) -> str:
        return f"{self.value:g}{self.unit}"


@dataclass(slots=True)
class PixelMeasure:
    """Areas of the pixels of a map, as whole numbers of a small unit."""

    class_map: ClassMap
    """The map."""

    counts: bool = False
    """Whether all pixels count the same, for a minimum in pixels."""

    square_metres: float = field(init=False)
    """Area of the unit."""

    _place: tuple[int, slice] | None = field(init=False, default=None)
    _chunk: NDArray[np.int64] = field(init=False, default_factory=lambda: np.zeros((0, 0), int))

    def __post_init__(self) -> None:
        if not has_known_areas(self.class_map.crs):
            raise UsageError(f"{self.class_map.path} has a CRS with unknown areas; warp it to UTM.")
        height, width = self.class_map.shape
        pixel = pixel_areas(self.class_map, (height // 2, width // 2, 1, 1))[0, 0]
        self.square_metres = float(pixel) / _UNITS_PER_PIXEL

    def of(self, rows: slice, cols: slice) -> NDArray[np.int64]:
        """(H, W) areas of the pixels of some rows and columns."""
        if self.counts:
            shape = rows.stop - rows.start, cols.stop - cols.start
            return np.full(shape, _UNITS_PER_PIXEL, np.int64)
        first = rows.start // _CHUNK_ROWS
        parts = [
            self._of_chunk(number, cols)[
                max(rows.start - number * _CHUNK_ROWS, 0) : rows.stop - number * _CHUNK_ROWS
            ]
            for number in range(first, math.ceil(rows.stop / _CHUNK_ROWS))
        ]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def least(self, minimum: MinimumArea) -> int:
        """The smallest area that reaches a minimum, in units.

        A patch has whole pixels, and their areas in a map in UTM differ by some per mille: what
        misses the minimum by less than half a pixel reaches it, as 50 pixels of 99.9 m2 do 0.5 ha.

        Args:
            minimum: the minimum.

        Raises:
            UsageError: every pixel reaches it.

        """
        pixel = self.square_metres * _UNITS_PER_PIXEL
        if minimum.unit == "px":
            least = math.ceil(minimum.value) * _UNITS_PER_PIXEL
        else:
            pixels = minimum.value * _SQUARE_METRES[minimum.unit] / pixel
            least = math.ceil((pixels - 0.5) * _UNITS_PER_PIXEL)
        if least <= _UNITS_PER_PIXEL:
            raise UsageError(
                f"A minimum area of {minimum} keeps every patch: a pixel of {self.class_map.path} "
                f"has {pixel:,.4g} m2. Give a larger one."
            )
        return int(least)

    def _of_chunk(self, number: int, cols: slice) -> NDArray[np.int64]:
        """The areas of all rows of a chunk; the last one is kept."""
        if self._place != (number, cols):
            row = number * _CHUNK_ROWS
            height = min(_CHUNK_ROWS, self.class_map.shape[0] - row)
            box = row, cols.start, height, cols.stop - cols.start
            areas = pixel_areas(self.class_map, box)
            self._chunk = np.rint(areas / self.square_metres).astype(np.int64)
            self._place = number, cols
        return self._chunk
