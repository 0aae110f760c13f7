"""An area and a period, cut into cells and months or less: small queries of a catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from math import ceil
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

Days = tuple[date, date]
"""First and last day, both included."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north, degrees."""

_CELL_DEGREES, _MIN_CELL_DEGREES = 4.0, 0.5
"""Size of the cells that queries start with, and the smallest to which they are split."""

_MAX_CELL_DEGREES = 16.0
"""Size of the largest merged cells; beyond it the items that cells share hardly count."""

_FULL_CELL: Bounds = (0, -2, 4, 2)
"""A cell whose items of a month are asked for in one query, wherever it is."""

_TILE_DEGREES = 1.0
"""Size of an item, degrees of latitude: a tile of Sentinel-2 has 110 km."""

_NEAR_DEGREES = 1.0
"""Parts of an area closer than twice this are searched in one box."""


@dataclass(frozen=True, slots=True)
class Query:
    """One cell in one span of time, both small enough that a server answers in full."""

    box: Bounds
    start: datetime
    end: datetime
    """Start and end are both included, UTC, without a time zone."""

    @property
    def terms(self) -> dict[str, Any]:
        """Terms of the item search."""
        span = f"{self.start.isoformat()}Z/{self.end.isoformat()}Z"
        return {"bbox": list(self.box), "datetime": span}

    def parts(self) -> "list[Query]":
        """Halves in time, down to a second; then quarters of the cell; then none."""
        span = self.end - self.start
        if span >= timedelta(seconds=2):
            middle = (self.start + span / 2).replace(microsecond=0)
            return [replace(self, end=middle), replace(self, start=middle)]
        west, south, east, north = self.box
        if max(east - west, north - south) < 2 * _MIN_CELL_DEGREES:
            return []
        x, y = (west + east) / 2, (south + north) / 2
        boxes = [(west, south, x, y), (x, south, east, y), (west, y, x, north), (x, y, east, north)]
        return [replace(self, box=box) for box in boxes]


def queries_of(area: shapely.MultiPolygon, period: Days) -> list[Query]:
    """The queries that find all scenes of an area in a period.

    Args:
        area: area in longitude, latitude, degrees.
        period: first and last day.

    """
    return [
        Query(cell, *span)
        for cell in _merged(_cells(area))
        for month in _months(period)
        for span in _equal_parts(*month, count=_slices(cell))
    ]


def _months(period: Days) -> Iterator[tuple[datetime, datetime]]:
    """First and last moment of each calendar month, or of its part in the period."""
    first, end = period
    while first <= end:
        next_first = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        last = min(next_first - timedelta(days=1), end)
        yield datetime.combine(first, time.min), datetime.combine(last, time.max)
        first = next_first


def _equal_parts(
    start: datetime, end: datetime, *, count: int
) -> Iterator[tuple[datetime, datetime]]:
    """First and last moment of each part; one ends at the whole second at which the next begins."""
    cuts = [(start + (end - start) * k / count).replace(microsecond=0) for k in range(1, count)]
    yield from pairwise([start, *cuts, end])


def _slices(cell: Bounds) -> int:
    """Parts of a month in which a cell has about as many items as one of four degrees in it."""
    here, full = _expected_items(np.array([cell, _FULL_CELL])).tolist()
    return max(1, round(here / full))


def _expected_items(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(...) measure of the items that meet boxes: they reach a tile further than the boxes do.

    Args:
        boxes: (..., 4) west, south, east, north, degrees.

    """
    west, south, east, north = np.moveaxis(boxes, -1, 0)
    shrinks = np.cos(np.radians((south + north) / 2))  # degrees of longitude
    return ((east - west) * shrinks + _TILE_DEGREES) * (north - south + _TILE_DEGREES)


def _merged(cells: list[Bounds]) -> list[Bounds]:
    """Cells, merged where the box around two of them is expected to have fewer items than both.

    Cells have items in common along their sides, which are read of each. A small or slanting land
    keeps small cells, for a box around these has much beside it.
    """
    if len(cells) < 2:
        return cells
    boxes = np.array(cells)
    left = np.ones(len(boxes), bool)
    saved = np.stack([_saved(box, boxes) for box in boxes])
    np.fill_diagonal(saved, 0)
    while True:
        one, other = divmod(int(saved.argmax()), len(boxes))
        if saved[one, other] <= 0:
            return sorted(tuple(box) for box in boxes[left].tolist())
        boxes[one] = _around(boxes[one], boxes[other])
        left[other] = False
        saved[other], saved[:, other] = 0, 0
        saved[one] = saved[:, one] = np.where(left, _saved(boxes[one], boxes), 0)
        saved[one, one] = 0


def _saved(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N,) items that the box around a box and each other is expected to save; 0 if too large."""
    around = _around(box, boxes)
    saved = _expected_items(box) + _expected_items(boxes) - _expected_items(around)
    is_small = (around[:, 2:] - around[:, :2] <= _MAX_CELL_DEGREES).all(1)
    return np.where(is_small, saved, 0)


def _around(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 4) boxes around a box and each other."""
    west_south = np.minimum(box[:2], boxes[..., :2])
    return np.concatenate([west_south, np.maximum(box[2:], boxes[..., 2:])], axis=-1)


def _cells(area: shapely.MultiPolygon) -> list[Bounds]:
    """Boxes of at most four degrees that cover the area, and little else."""
    cells = []
    for west, south, east, north in _boxes(area):
        columns = max(1, ceil((east - west) / _CELL_DEGREES))
        rows = max(1, ceil((north - south) / _CELL_DEGREES))
        width, height = (east - west) / columns, (north - south) / rows
        for i in range(columns):
            for j in range(rows):
                x, y = west + i * width, south + j * height
                right = east if i == columns - 1 else x + width
                top = north if j == rows - 1 else y + height
                part = shapely.clip_by_rect(area, x, y, right, top)
                if part.area > 0:
                    cells.append(part.bounds)
    return sorted(cells)


def _boxes(area: shapely.MultiPolygon) -> list[Bounds]:
    """Boxes around the area's parts, one box for parts near each other."""
    boxes = [shapely.box(*part.bounds) for part in area.geoms]
    while True:
        groups = shapely.get_parts(
            shapely.union_all([box.buffer(_NEAR_DEGREES, join_style="mitre") for box in boxes])
        )
        merged = [
            shapely.box(*shapely.total_bounds([box for box in boxes if shapely.within(box, group)]))
            for group in groups
        ]
        if len(merged) == len(boxes):
            return sorted(box.bounds for box in merged)
        boxes = merged
