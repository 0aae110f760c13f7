"""Values of another raster at the centres of a grid's pixels, exactly the nearest, in one pass.

Coordinates are known at knots and interpolated between by cubics, whose error is measured. Where
that could choose another pixel, the transformation itself decides, so the interpolation changes
nothing but the time. It is in float64: a float32 resolves a hundredth of a pixel within a zone,
and is no faster in a loop that waits for memory.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo.tiling import Box
from lulcmap.system import compiled

Locate = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]
"""From rows and columns of a grid, each (...), to (2, ...) rows and columns of another raster;
NaN where there are none."""

NOWHERE = np.iinfo(np.int64).min
"""Row and column of a pixel whose centre has no coordinates."""

_KNOT_PX = 64
"""Most pixels between the knots, at which the transformation is evaluated."""

_BEYOND, _UNSURE = -1, -2
"""Instead of its place: a pixel that lies beyond all values, or that is unsure."""

_REACH_PX = 2
"""Pixels by which a part of a grid may reach beyond its knots; whatever reaches further is looked
up by itself."""


class Source(Protocol):
    """A raster to take values from."""

    @property
    def extent(self) -> Box:
        """The pixels it has; everything beyond is nodata."""

    def read(self, box: Box) -> NDArray[Any]:
        """The (B, H, W) values of a box within the extent."""


def gather(locate: Locate, mask: NDArray[np.bool_], source: Source, out: NDArray[Any]) -> None:
    """Fill pixels of a grid with the values of the source's pixels that contain their centres.

    Args:
        locate: where the grid's pixels lie in the source.
        mask: (H, W) which pixels to fill.
        source: raster to take values from.
        out: (B, H, W) array to fill; stays as it is where the source has no pixel.

    """
    rows, cols = _span(mask.any(axis=1)), _span(mask.any(axis=0))
    if not rows.stop:
        return
    surface = Surface.of(mask.shape, locate)
    if surface is None:
        _gather_exactly(locate, *np.divmod(np.flatnonzero(mask), mask.shape[1]), source, out)
        return
    low, high = surface.reach(rows, cols)
    reach = Box(*low, *(high - low))
    box = reach.intersection(source.extent)
    values = source.read(box) if box else np.empty((len(out), 0, 0), out.dtype)
    offset = (box.row - low[0], box.col - low[1]) if box else (0, 0)
    unsure = np.zeros(mask.shape, bool)
    found = _gather(
        surface.knots - low[:, None, None],
        surface.steps,
        surface.margin,
        (int(high[0] - low[0]), int(high[1] - low[1])),
        (int(offset[0]), int(offset[1])),
        np.ascontiguousarray(mask),
        np.ascontiguousarray(values),
        out,
        unsure,
    )
    if found:
        _gather_exactly(locate, *np.divmod(np.flatnonzero(unsure), mask.shape[1]), source, out)


@dataclass(frozen=True, slots=True)
class Surface:
    """Smooth coordinates of a grid's pixels, known at knots and interpolated by cubics."""

    knots: NDArray[np.float64]
    """(2, R, C) coordinates at the knots, at least four a side."""

    steps: tuple[float, float]
    """Pixels between the knots, down and across."""

    margin: float
    """Distance to an integer, within which the interpolation does not decide."""

    @classmethod
    def of(cls, shape: tuple[int, ...], locate: Locate) -> "Surface | None":
        """The surface of a grid; None where it has gaps, or cubics do not fit it."""
        rows, cols = (_knots(length) for length in shape)
        knots = locate(*np.meshgrid(rows, cols, indexing="ij"))
        middles = [(axis[1:] + axis[:-1]) / 2 for axis in (rows, cols)]
        true = locate(*np.meshgrid(*middles, indexing="ij"))
        down, across = (
            _weights(middle / axis[1], axis.size)
            for middle, axis in zip(middles, (rows, cols), strict=True)
        )
        error = np.abs(true - down @ knots @ across.T)
        if not (np.isfinite(knots).all() and np.isfinite(error).all()):
            return None
        # The error is largest in the middle of a cell, or nearly so where the surface has a bend.
        margin = 4 * float(error.max()) + 1e-6
        return cls(knots, (float(rows[1]), float(cols[1])), margin) if margin < 0.25 else None

    def at(self, rows: NDArray[np.float64], cols: NDArray[np.float64]) -> NDArray[np.float64]:
        """(2, H, W) interpolated coordinates of rows and columns of the grid."""
        down = _weights(rows / self.steps[0], self.knots.shape[1])
        across = _weights(cols / self.steps[1], self.knots.shape[2])
        return down @ self.knots @ across.T

    def reach(self, rows: slice, cols: slice) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First and last (2,) coordinates of a part of the grid, rounded outwards."""
        near = self.knots[
            :,
            *(
                slice(int(part.start // step), int(part.stop // step) + 2)
                for part, step in zip((rows, cols), self.steps, strict=True)
            ),
        ]
        low, high = near.min(axis=(1, 2)), near.max(axis=(1, 2))
        first = np.floor(low).astype(np.int64) - _REACH_PX
        return first, np.ceil(high).astype(np.int64) + _REACH_PX


def floors(shape: tuple[int, ...], locate: Locate) -> NDArray[np.int64]:
    """(2, H, W) coordinates of a grid's pixels, rounded down; ``NOWHERE`` if either is NaN."""
    unsure: NDArray[Any]
    surface = Surface.of(shape, locate)
    if surface is None:
        result, unsure = np.empty((2, *shape), np.int64), np.ones(shape, np.bool_)
    else:
        coordinates = surface.at(*(np.arange(length, dtype=float) for length in shape))
        whole = np.floor(coordinates)
        part = coordinates - whole
        unsure = np.any((part < surface.margin) | (part > 1 - surface.margin), axis=0)
        result = whole.astype(np.int64)
    rows, cols = np.nonzero(unsure)
    result[:, rows, cols] = _exact_floors(locate, rows, cols)
    return result


def _exact_floors(
    locate: Locate, rows: NDArray[np.intp], cols: NDArray[np.intp]
) -> NDArray[np.int64]:
    """(2, N) coordinates of pixels, each transformed by itself, rounded down."""
    coordinates = locate(rows.astype(float), cols.astype(float))
    finite = np.isfinite(coordinates).all(axis=0)
    exact = np.full(coordinates.shape, NOWHERE)
    exact[:, finite] = np.floor(coordinates[:, finite]).astype(np.int64)
    return exact


def _gather_exactly(
    locate: Locate,
    rows: NDArray[np.intp],
    cols: NDArray[np.intp],
    source: Source,
    out: NDArray[Any],
) -> None:
    """As ``gather``, of some pixels, each transformed by itself."""
    there = _exact_floors(locate, rows, cols)
    first = np.array([source.extent.row, source.extent.col])[:, None]
    last = np.array(source.extent.stop)[:, None]
    held = ((there >= first) & (there < last)).all(axis=0)
    if held.any():
        (row, col), there = there[:, held].min(axis=1), there[:, held]
        height, width = there.max(axis=1) - (row, col) + 1
        values = source.read(Box(int(row), int(col), int(height), int(width)))
        out[:, rows[held], cols[held]] = values[:, there[0] - row, there[1] - col]


@compiled
def _gather(
    knots: NDArray[np.float64],
    steps: tuple[float, float],
    margin: float,
    reach: tuple[int, int],
    offset: tuple[int, int],
    mask: NDArray[np.bool_],
    values: NDArray[Any],
    out: NDArray[Any],
    unsure: NDArray[np.bool_],
) -> int:
    """Interpolate the coordinates of pixels, and copy the values that lie there.

    Args:
        knots: (2, R, C) coordinates at the knots, from the first that is in reach.
        steps: pixels between the knots, down and across.
        margin: distance to an integer within which a pixel is unsure.
        reach: coordinates in reach; a pixel beyond is unsure too.
        offset: coordinates of the first value.
        mask: (H, W) which pixels to fill.
        values: (B, h, w) values to take.
        out: (B, H, W) array to fill; stays as it is where there are no values.
        unsure: (H, W) all False; set to True for unsure pixels, which are not filled.

    Returns:
        Number of unsure pixels.

    """
    found, last_row, last_col = 0, knots.shape[1] - 4, knots.shape[2] - 4
    height, width = values.shape[1:]
    box = (offset[0], offset[0] + height, offset[1], offset[1] + width)
    flat = values.reshape(values.shape[0], height * width)
    line, at = np.empty((2, knots.shape[2])), np.empty(2 * _KNOT_PX, np.int32)
    for row in range(mask.shape[0]):
        above = min(max(int(row / steps[0]) - 1, 0), last_row)
        t = row / steps[0] - above
        w0, w1 = -(t - 1) * (t - 2) * (t - 3) / 6, t * (t - 2) * (t - 3) / 2
        w2, w3 = -t * (t - 1) * (t - 3) / 2, t * (t - 1) * (t - 2) / 6
        for axis in range(2):
            for k in range(knots.shape[2]):
                line[axis, k] = (
                    w0 * knots[axis, above, k]
                    + w1 * knots[axis, above + 1, k]
                    + w2 * knots[axis, above + 2, k]
                    + w3 * knots[axis, above + 3, k]
                )
        stop = 0
        for cell in range(knots.shape[2] - 1):
            start, stop = stop, min(math.ceil((cell + 1) * steps[1]), mask.shape[1])
            if cell == knots.shape[2] - 2:
                stop = mask.shape[1]
            left = min(max(cell - 1, 0), last_col)
            cubics = (_cubic(line[0], left), _cubic(line[1], left))
            _find_places(cubics, start, stop, 1 / steps[1], left, margin, reach, box, at)
            n_there = 0
            for k in range(stop - start):
                n_there += (at[k] >= 0) & mask[row, start + k]
            if n_there == stop - start:  # mostly
                for band in range(flat.shape[0]):
                    for k in range(stop - start):
                        pixel, place = np.uint64(start + k), np.uint32(at[k])  # none from the end
                        out[band, row, pixel] = flat[band, place]
                continue
            for k in range(stop - start):
                if at[k] >= 0 and mask[row, start + k]:
                    for band in range(flat.shape[0]):
                        out[band, row, start + k] = flat[band, np.uint32(at[k])]
                elif at[k] == _UNSURE and mask[row, start + k]:
                    unsure[row, start + k] = True
                    found += 1
    return found


@compiled
def _find_places(
    cubics: tuple[tuple[float, float, float, float], tuple[float, float, float, float]],
    start: int,
    stop: int,
    per_pixel: float,
    left: int,
    margin: float,
    reach: tuple[int, int],
    box: tuple[int, int, int, int],
    at: NDArray[np.int32],
) -> None:
    """Find the places of some pixels of a row among the values.

    One loop without a branch, and all in one type, so that it works on several pixels at once.

    Args:
        cubics: their coordinates, down and across, by knots.
        start: first pixel.
        stop: pixel after the last.
        per_pixel: knots to a pixel.
        left: knot at which the cubics begin.
        margin: as of ``_gather``, and so is ``reach``.
        reach: as of ``_gather``.
        box: first row of the values and the one after the last, and columns.
        at: (N,) array to fill with the places in a row of all values, ``_BEYOND`` or ``_UNSURE``.

    """
    (y0, y1, y2, y3), (x0, x1, x2, x3) = cubics
    height, width, sure = float(reach[0]), float(reach[1]), 0.5 - margin
    top, bottom, first, last = float(box[0]), float(box[1]), float(box[2]), float(box[3])
    beyond, unsure = float(_BEYOND), float(_UNSURE)
    for k in range(stop - start):
        t = float(start + k) * per_pixel - left
        y = ((y3 * t + y2) * t + y1) * t + y0
        x = ((x3 * t + x2) * t + x1) * t + x0
        i, j = np.floor(y), np.floor(x)
        is_sure = (abs(y - i - 0.5) <= sure) & (abs(x - j - 0.5) <= sure)
        is_sure &= (i >= 0) & (i < height) & (j >= 0) & (j < width)
        is_there = (i >= top) & (i < bottom) & (j >= first) & (j < last)
        place = (i - top) * (last - first) + (j - first)
        at[k] = np.int32(place if is_sure & is_there else (beyond if is_sure else unsure))


@compiled
def _cubic(values: NDArray[np.float64], at: int) -> tuple[float, float, float, float]:
    """Coefficients of the cubic through four values, at 0, 1, 2 and 3."""
    a, b, c, d = values[at], values[at + 1], values[at + 2], values[at + 3]
    return (
        a,
        -11 / 6 * a + 3 * b - 1.5 * c + d / 3,
        a - 2.5 * b + 2 * c - 0.5 * d,
        (d - a) / 6 + (b - c) / 2,
    )


def _knots(length: int) -> NDArray[np.float64]:
    """At least four places from pixel 0 to the last, at most ``_KNOT_PX`` apart."""
    return np.linspace(0, max(length - 1, 1), max(-(-(length - 1) // _KNOT_PX), 3) + 1)


def _weights(places: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """(N, n) weights that interpolate by cubics at places among n knots."""
    first = np.clip(places.astype(np.int64) - 1, 0, n - 4)
    t = places - first
    weights = np.zeros((places.size, n))
    for k in range(4):
        others = [i for i in range(4) if i != k]
        factor = np.prod([(t - i) / (k - i) for i in others], axis=0)
        weights[np.arange(places.size), first + k] = factor
    return weights


def _span(used: Any) -> slice:
    """From the first to the last True."""
    places = np.flatnonzero(used)
    return slice(int(places[0]), int(places[-1]) + 1) if places.size else slice(0, 0)
