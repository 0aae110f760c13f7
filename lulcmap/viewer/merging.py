"""The answers and drawings of a copy of a sample's file, taken over into another.

The table ``erased`` remembers the drawings that were erased, so that an older copy does not bring
them back.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lulcmap.errors import UsageError
from lulcmap.evaluation import ANSWERS, DRAWN_LAYER
from lulcmap.viewer.geopackage import ERASED, columns_of, open_database, reading
from lulcmap.viewer.points import Point, read_points

COLUMNS = "point, class, interpreter, sure, comment, answered_at, map_shown"
"""Columns of an answer."""

DRAWING = "geom, interpreter, answered_at"
"""Columns that name a drawing in all copies of a file, where numbers differ."""

_IS_DRAWING = "geom IS ? AND interpreter IS ? AND answered_at IS ?"

_SAME_PLACE_DEG = 1e-9

_Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Copy:
    """What a copy of a sample's file holds, as rows of its tables."""

    points: tuple[Point, ...]
    """The points of the sample."""

    answers: list[_Row]
    """Every answer, and whether it was undone."""

    drawn: list[_Row]
    """Every drawing."""

    erased: list[_Row]
    """What names each drawing that was erased."""


def read_copy(path: Path) -> Copy:
    """Read a copy of a sample's file, which stays as it is.

    Raises:
        UsageError: it is no sample of lulcmap, or has no answers.

    """
    with closing(open_database(path, writes=False)) as copy, reading(path):
        has_erased = columns_of(copy, ERASED)  # not in a file of an earlier version
        return Copy(
            read_points(copy, path),
            copy.execute(f"SELECT {COLUMNS}, undone FROM {ANSWERS}").fetchall(),
            copy.execute(
                "SELECT geom, class, interpreter, sure, comment, answered_at "
                f"FROM {DRAWN_LAYER} ORDER BY fid"
            ).fetchall(),
            copy.execute(f"SELECT {DRAWING} FROM {ERASED}").fetchall() if has_erased else [],
        )


def take(database: sqlite3.Connection, copy: Copy) -> int:
    """Take over what a copy holds, within a transaction; how much of it is new."""
    for row in copy.erased:
        erase(database, row)
    return sum(
        [
            *(_take_answer(database, row) for row in copy.answers),
            *(_take_drawn(database, row) for row in copy.drawn),
        ]
    )


def _take_answer(database: sqlite3.Connection, row: _Row) -> bool:
    """Take over an answer, or that it was undone; whether it is new."""
    *values, undone = row
    point, name, interpreter, _, _, answered_at, _ = values
    known = database.execute(
        f"SELECT fid FROM {ANSWERS} WHERE point = ? AND interpreter IS ? AND answered_at IS ? "
        "AND class IS ?",
        (point, interpreter, answered_at, name),
    ).fetchone()
    if known is None:
        database.execute(
            f"INSERT INTO {ANSWERS} ({COLUMNS}, undone) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row
        )
    elif undone:
        database.execute(f"UPDATE {ANSWERS} SET undone = 1 WHERE fid = ?", known)
    return known is None


def _take_drawn(database: sqlite3.Connection, row: _Row) -> bool:
    """Take over a drawing that was not erased; whether it is new."""
    geometry, _, interpreter, _, _, answered_at = row
    drawing = (geometry, interpreter, answered_at)
    is_known = any(
        database.execute(f"SELECT 1 FROM {table} WHERE {_IS_DRAWING}", drawing).fetchone()
        for table in (DRAWN_LAYER, ERASED)
    )
    if not is_known:
        database.execute(
            f"INSERT INTO {DRAWN_LAYER} (geom, class, interpreter, sure, comment, answered_at) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            row,
        )
    return not is_known


def erase(database: sqlite3.Connection, drawing: _Row) -> None:
    """Erase a drawing, and remember it."""
    database.execute(f"DELETE FROM {DRAWN_LAYER} WHERE {_IS_DRAWING}", drawing)
    known = database.execute(f"SELECT 1 FROM {ERASED} WHERE {_IS_DRAWING}", drawing).fetchone()
    if known is None:
        database.execute(f"INSERT INTO {ERASED} ({DRAWING}) VALUES (?, ?, ?)", drawing)


def check_same(path: Path, own: Sequence[Point], other: Path, others: Sequence[Point]) -> None:
    """Refuse a copy of another sample.

    Raises:
        UsageError: the points are not the same.

    """
    one, another = (np.array([[p.id, p.lon, p.lat] for p in some]) for some in (own, others))
    if one.shape != another.shape or not (abs(one - another) < _SAME_PLACE_DEG).all():
        raise UsageError(
            f"{other} has other points than {path}; --merge takes a copy of the same sample with "
            "the answers of somebody else."
        )
