"""Overviews of a raster made while its pixels come, strip by strip.

Each level is half of the one before, rounded down, so a pixel of it is made of two to four pixels a
side; places and choices are GDAL's, of which every overview of this package used to be. Only what
later pixels need is kept: a strip of tiles of each level, and four rows and columns of the strip
before.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.system import compiled

TILE_PX = 512
"""Side of a tile, and height of a strip, pixels."""

_CARRY_PX = 4
"""Pixels of what came before that a pixel of the next level may still need."""

_PIECE_PX = 4 * TILE_PX
"""Columns of a strip that are halved at a time."""

_STRIP_BYTES = 128 * 2**20
"""Bytes of a strip of a level that is kept in memory."""

_EPSILON = 1e-8
"""Part of a pixel by which GDAL lets the edge of a pixel lie beyond another's."""

Emit = Callable[[int, int, int, NDArray[Any]], None]
"""Takes number of a level, first row and column of a tile, and its (B, h, w) values."""


class Pyramid:
    """The levels of a raster, from the full one to the smallest."""

    def __init__(
        self,
        shapes: Sequence[tuple[int, int]],
        *,
        bands: int,
        dtype: str,
        nodata: int,
        resampling: str,
        emit: Emit,
        folder: Path,
    ) -> None:
        """Begin with no pixel.

        Args:
            shapes: height and width of each level, the full one first.
            bands: number of bands.
            dtype: data type.
            nodata: value that an overview takes only where nothing else is.
            resampling: ``"MODE"`` or ``"NEAREST"`` of uint8, or ``"AVERAGE"``.
            emit: called with each tile, and with tiles of all levels in the order they are done.
            folder: path of a folder for what is too large for memory.

        """
        next_level = None
        for number in reversed(range(len(shapes))):
            next_level = _Level(
                number, shapes[number], (bands, dtype, nodata), resampling, emit, next_level, folder
            )
        if next_level is None:
            raise ValueError("a raster without a level")
        self._full = next_level

    def add(self, row: int, col: int, values: NDArray[Any]) -> None:
        """Take the next pixels.

        Args:
            row: first row; strips of tiles come in their order.
            col: first column, that of a tile; pieces of a strip come in their order.
            values: (B, h, w) pixels; h is that of the strip, w whole tiles or up to the edge.

        """
        self._full.add(row, col, values)


class _Level:
    """A level, of which a strip comes piece by piece and is halved for the next."""

    def __init__(
        self,
        number: int,
        shape: tuple[int, int],
        kind: tuple[int, str, int],
        resampling: str,
        emit: Emit,
        halved: "_Level | None",
        folder: Path,
    ) -> None:
        self.shape, self._number, self._emit, self._halved = shape, number, emit, halved
        self._bands, self._dtype, self._nodata = kind
        if halved is None:
            return
        self._resampling = resampling
        self._down = _windows(shape[0], halved.shape[0], resampling)
        self._across = _windows(shape[1], halved.shape[1], resampling)
        self._above = self._blank(_CARRY_PX, shape[1])
        self._below, self._left = self._above.copy(), self._blank(0, _CARRY_PX)
        self._done_row, self._done_col = 0, 0
        # A strip makes half of one of the next level, and a row or two that are still missing.
        rows = min(halved.shape[0], TILE_PX + TILE_PX // 2 + _CARRY_PX)
        self._made, self._made_row = self._blank_strip(rows, halved.shape[1], folder), 0

    def _blank(self, height: int, width: int) -> NDArray[Any]:
        return np.full((self._bands, height, width), self._nodata, self._dtype)

    def _blank_strip(self, height: int, width: int, folder: Path) -> NDArray[Any]:
        """As ``_blank``; of a wide layer of many bands it lies in a file without a name."""
        row = self._blank(1, width)
        if row.nbytes * height <= _STRIP_BYTES:
            return self._blank(height, width)
        with TemporaryFile(dir=folder) as file:
            for _ in range(height):  # the disk is full now or never
                file.write(row.tobytes())
            file.flush()
            shape = (self._bands, height, width)
            return np.asarray(np.memmap(file, self._dtype, "r+", shape=shape))

    def add(self, row: int, col: int, values: NDArray[Any]) -> None:
        """Take a piece of a strip; see ``Pyramid.add``."""
        for start in range(0, values.shape[2], TILE_PX):
            self._emit(self._number, row, col + start, values[:, :, start : start + TILE_PX])
        if self._halved is None:
            return
        bottom, right = row + values.shape[1], col + values.shape[2]
        if col == 0:
            self._left, self._done_col = self._blank(values.shape[1], _CARRY_PX), 0
        last_row = int(np.searchsorted(self._down[0][1], bottom, "right"))
        last_col = int(np.searchsorted(self._across[0][1], right, "right"))
        if last_row > self._done_row and last_col > self._done_col:
            self._halve(row, col, values, last_row, last_col)
        self._done_col = last_col
        self._left = values[:, :, -_CARRY_PX:].copy()
        if self._left.shape[2] < _CARRY_PX:  # a raster of a few columns: the last piece
            self._left = self._blank(values.shape[1], _CARRY_PX)
        kept = min(_CARRY_PX, values.shape[1])
        self._below[:, -kept:, col:right] = values[:, -kept:]
        if right == self.shape[1]:
            self._end_strip(bottom, last_row)

    def _halve(
        self, row: int, col: int, values: NDArray[Any], last_row: int, last_col: int
    ) -> None:
        """Make the pixels of the next level of which all pixels are there."""
        height, width = values.shape[1:]
        near = self._blank(_CARRY_PX + height, _CARRY_PX + width)
        near[:, _CARRY_PX:, _CARRY_PX:] = values
        near[:, _CARRY_PX:, :_CARRY_PX] = self._left
        near[:, :_CARRY_PX, _CARRY_PX:] = self._above[:, :, col : col + width]
        if col:
            near[:, :_CARRY_PX, :_CARRY_PX] = self._above[:, :, col - _CARRY_PX : col]
        rows, cols = slice(self._done_row, last_row), slice(self._done_col, last_col)
        at = (slice(rows.start - self._made_row, rows.stop - self._made_row), cols)
        down, across = self._down[0][:, rows], self._across[0][:, cols]
        down, across = down - (row - _CARRY_PX), across - (col - _CARRY_PX)
        made = self._blank(down.shape[1], across.shape[1])
        if self._resampling == "AVERAGE":
            weights = (self._down[1][:, rows].copy(), self._across[1][:, cols].copy())
            _average(near, down, across, *weights, self._nodata, made)
        else:
            _most_frequent(near, down, across, self._nodata, made)
        self._made[:, *at] = made

    def _end_strip(self, bottom: int, last_row: int) -> None:
        """Hand the next level what it can take: whole strips, and at the end all."""
        self._above, self._below = self._below, self._above
        self._done_row = last_row
        if self._halved is None:
            return
        while (there := self._done_row - self._made_row) > 0:
            if there < TILE_PX and bottom < self.shape[0]:
                break
            strip = self._made[:, : min(there, TILE_PX)]
            for col in range(0, strip.shape[2], _PIECE_PX):
                self._halved.add(self._made_row, col, strip[:, :, col : col + _PIECE_PX])
            rest = there - strip.shape[1]
            self._made[:, :rest] = self._made[:, strip.shape[1] : there].copy()
            self._made_row += strip.shape[1]


def _windows(
    size: int, halved: int, resampling: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The pixels of a level that make each of the next, on one axis.

    Returns:
        (2, halved) first and last pixels, the last not included; and (2, halved) how much of the
        first and of the last one counts.

    """
    ratio = size / halved
    start, stop = np.arange(halved) * ratio, np.arange(1, halved + 1) * ratio
    if resampling == "NEAREST":
        first = np.minimum((0.5 + start + _EPSILON).astype(np.int64), size - 1)
        return np.stack([first, first + 1]), np.ones((2, halved))
    first = (start + _EPSILON).astype(np.int64)
    last = np.minimum(np.maximum(np.ceil(stop - _EPSILON).astype(np.int64), first + 1), size)
    weights = np.stack([np.minimum(1 - (start - first), 1), np.minimum(1 - (last - stop), 1)])
    return np.stack([first, last]), weights


@compiled
def _most_frequent(
    values: NDArray[np.uint8],
    down: NDArray[np.int64],
    across: NDArray[np.int64],
    nodata: int,
    out: NDArray[np.uint8],
) -> None:
    """The most frequent value of each window, of several the first to be so often; or nodata."""
    alike = np.empty(values.shape[2], np.bool_)
    # Counts are not cleared: those of a window begin where no earlier one can have come to.
    counts, none = np.zeros(256, np.int64), 0
    for band in range(out.shape[0]):
        for i in range(out.shape[1]):
            top, bottom = down[0, i], down[1, i]
            head = values[band, top]
            # first which columns have one value: a loop without a branch, many pixels at once
            for col in range(alike.size):
                alike[col] = True
            for row in range(top + 1, bottom):
                for col in range(alike.size):
                    alike[col] &= values[band, row, col] == head[col]
            for j in range(out.shape[2]):
                left, right = across[0, j], across[1, j]
                first, is_uniform = head[left], alike[left]
                for col in range(left + 1, right):
                    is_uniform &= alike[col] & (head[col] == first)
                if is_uniform:
                    out[band, i, j] = first
                    continue
                size = (bottom - top) * (right - left)
                if bottom - top == 2 and right - left == 2:  # the same, without counting
                    a, b = head[left], head[left + 1]
                    c, d = values[band, top + 1, left], values[band, top + 1, left + 1]
                    if (a != nodata) & (b != nodata) & (c != nodata) & (d != nodata):
                        best = d if (d == a) | (d == b) | (d == c) else a
                        best = c if (c == a) | (c == b) else best
                        out[band, i, j] = a if a == b else best
                        continue
                best, most = nodata, none
                for row in range(top, bottom):
                    for col in range(left, right):
                        value = values[band, row, col]
                        if value != nodata:
                            counts[value] = max(counts[value], none) + 1
                            if counts[value] > most:
                                best, most = value, counts[value]
                    if 2 * (most - none) > size:
                        break
                out[band, i, j] = best
                none += size


@compiled
def _average(
    values: NDArray[Any],
    down: NDArray[np.int64],
    across: NDArray[np.int64],
    down_weights: NDArray[np.float64],
    across_weights: NDArray[np.float64],
    nodata: int,
    out: NDArray[Any],
) -> None:
    """The mean of each window without nodata, rounded; or nodata."""
    for band in range(out.shape[0]):
        for i in range(out.shape[1]):
            for j in range(out.shape[2]):
                total, weights = 0.0, 0.0
                for row in range(down[0, i], down[1, i]):
                    of_row = 1.0
                    if row == down[0, i]:
                        of_row = down_weights[0, i]
                    elif row == down[1, i] - 1:
                        of_row = down_weights[1, i]
                    for col in range(across[0, j], across[1, j]):
                        value = values[band, row, col]
                        if value == nodata:
                            continue
                        weight = of_row
                        if col == across[0, j]:
                            weight *= across_weights[0, j]
                        elif col == across[1, j] - 1:
                            weight *= across_weights[1, j]
                        total += value * weight
                        weights += weight
                out[band, i, j] = int(total / weights + 0.5) if weights > 0 else nodata
