"""An area and a period, cut into cells and months: small queries of a catalogue."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from math import ceil
from typing import Any

import shapely

Days = tuple[date, date]
"""First and last day, both included."""

Bounds = tuple[float, float, float, float]
"""West, south, east, north, degrees."""

_CELL_DEGREES, _MIN_CELL_DEGREES = 4.0, 0.5
"""Size of the cells that queries start with, and the smallest to which they are split."""

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
    return [Query(cell, *month) for cell in _cells(area) for month in _months(period)]


def _months(period: Days) -> Iterator[tuple[datetime, datetime]]:
    """First and last moment of each calendar month, or of its part in the period."""
    first, end = period
    while first <= end:
        next_first = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        last = min(next_first - timedelta(days=1), end)
        yield datetime.combine(first, time.min), datetime.combine(last, time.max)
        first = next_first


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
