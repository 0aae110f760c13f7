"""The points of a sample, as its file names and places them."""

import math
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from lulcmap.errors import UsageError
from lulcmap.evaluation import SAMPLE_LAYER
from lulcmap.viewer.geopackage import columns_of, reading

_ADVICE = "Fill it in, or delete the row; rows of lulcmap sample have id, lon and lat."


@dataclass(frozen=True, slots=True)
class Point:
    """A point of a sample."""

    id: int
    """Its id."""

    lon: float
    """Longitude, degrees."""

    lat: float
    """Latitude, degrees."""

    is_labelled: bool
    """Whether its column ``label`` was filled in by hand."""


def read_points(database: sqlite3.Connection, path: Path) -> tuple[Point, ...]:
    """The points of an open sample, by their ids.

    Raises:
        UsageError: a row has no id, or no place; or the file cannot be read.

    """
    label = "label" if "label" in columns_of(database, SAMPLE_LAYER) else "NULL"
    with reading(path):
        rows = database.execute(
            f"SELECT id, lon, lat, {label} FROM {SAMPLE_LAYER} ORDER BY id"
        ).fetchall()
    for number, lon, lat, _ in rows:
        if not _is_whole(number):
            found = "a row without an id" if number is None else f"the id {str(number)[:60]!r}"
            raise UsageError(f"{path} has {found}; ids are whole numbers. {_ADVICE}")
        if not all(isinstance(one, int | float) and math.isfinite(one) for one in (lon, lat)):
            raise UsageError(f"The point {number} of {path} lacks lon or lat, degrees. {_ADVICE}")
    return tuple(
        Point(int(number), float(lon), float(lat), bool(str(text or "").strip()))
        for number, lon, lat, text in rows
    )


def _is_whole(value: object) -> bool:
    """Whether an id is a whole number, which other programs may keep as 7.0 or as text."""
    try:
        number = int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError, OverflowError):
        return False
    return value in (number, str(number))
