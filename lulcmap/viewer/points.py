"""The points of a sample, as its file names and places them."""

import sqlite3
from contextlib import closing
from dataclasses import dataclass

from lulcmap.evaluation import SAMPLE_LAYER


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


def read_points(database: sqlite3.Connection) -> tuple[Point, ...]:
    """The points of an open sample, by their ids."""
    columns = {row[1] for row in database.execute(f"PRAGMA table_info({SAMPLE_LAYER})")}
    label = "label" if "label" in columns else "NULL"
    with closing(
        database.execute(f"SELECT id, lon, lat, {label} FROM {SAMPLE_LAYER} ORDER BY id")
    ) as rows:
        return tuple(
            Point(int(number), float(lon), float(lat), bool(str(text or "").strip()))
            for number, lon, lat, text in rows
        )
