"""The answers of interpreters to the points of a sample, kept in the sample's own file.

The table ``answers`` is a log: what is undone stays in it, marked. What the answers that hold say
of a point together stands in the point's own row, so that everything that reads the sample reads
them. Both change in one transaction.
"""

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import shapely

from lulcmap.errors import UsageError
from lulcmap.evaluation import ANSWERS, DRAWN_LAYER, SAMPLE_LAYER
from lulcmap.legend import is_plain_name
from lulcmap.viewer.agreement import Answer, decide, summary
from lulcmap.viewer.geopackage import (
    LOOKS,
    geometry_blob,
    open_database,
    reading,
    shape_of,
    writing,
)
from lulcmap.viewer.merging import COLUMNS, DRAWING, check_same, erase, read_copy, take
from lulcmap.viewer.points import read_points

MAX_COMMENT = 2000
"""Longest comment, characters."""


class AnswerStore:
    """The answers in a sample's file. Any thread may use it, and so may other processes."""

    def __init__(self, path: Path) -> None:
        """Open the file; what it lacks for answers is added.

        Raises:
            UsageError: it is no sample of lulcmap.
            OutputError: it cannot be written.

        """
        self.path = path
        self._lock = threading.Lock()
        self._database = open_database(path)
        try:
            self.points = read_points(self._database, path)
        except BaseException:
            self._database.close()
            raise
        self._ids = {point.id for point in self.points}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def answers(self) -> list[Answer]:
        """The answers that hold: the last of each interpreter to each point that is not undone.

        Raises:
            UsageError: the file cannot be read.

        """
        with self._lock, reading(self.path):
            return _holding(self._database, "")

    def summary(self) -> dict[str, Any]:
        """Progress and agreement, as plain JSON values."""
        return summary(self.answers(), len(self.points))

    def answer(
        self,
        point: int,
        interpreter: str,
        name: str | None,
        *,
        is_sure: bool,
        comment: str = "",
        map_shown: bool = False,
    ) -> Answer:
        """Keep an answer; on return it is on the disk.

        Args:
            point: id of the point.
            interpreter: who answers.
            name: name of the class; None for "not sure" without any.
            is_sure: whether the interpreter is sure.
            comment: what the interpreter remarks.
            map_shown: whether the class of the map was shown; it was, if a look of the interpreter
                at the point is kept, or any earlier answer says so, undone or not.

        Raises:
            UsageError: there is no such point, or a text is not plain.
            OutputError: it cannot be written; the file is as it was.

        """
        if point not in self._ids:
            raise UsageError(f"{self.path} has no point {point}.")
        _check_texts(interpreter, name, comment)
        with self._lock, writing(self._database, self.path):
            now = _next_moment(self._database)
            map_shown = map_shown or _was_map_shown(self._database, point, interpreter)
            answer = Answer(
                point, interpreter, name, is_sure and name is not None, comment, now, map_shown
            )
            self._database.execute(
                f"INSERT INTO {ANSWERS} ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (point, name, interpreter, answer.is_sure, comment, now, map_shown),
            )
            self._settle([point])
        return answer

    def look(self, point: int, interpreter: str) -> None:
        """Keep that the class of the map was shown to an interpreter; on return it is on the disk.

        Raises:
            UsageError: there is no such point.
            OutputError: it cannot be written.

        """
        if point not in self._ids:
            raise UsageError(f"{self.path} has no point {point}.")
        with self._lock, writing(self._database, self.path):
            self._database.execute(
                f"INSERT OR IGNORE INTO {LOOKS} VALUES (?, ?)", (point, interpreter)
            )

    def undo(self, interpreter: str) -> int | None:
        """Take back an interpreter's last answer; the one before it to that point holds again.

        Returns:
            Id of the point; None if there was no answer.

        Raises:
            OutputError: it cannot be written; the file is as it was.

        """
        with self._lock, writing(self._database, self.path):
            row = self._database.execute(
                f"SELECT fid, point FROM {ANSWERS} WHERE interpreter = ? AND NOT undone "
                "ORDER BY answered_at DESC, fid DESC LIMIT 1",
                (interpreter,),
            ).fetchone()
            if row is None:
                return None
            self._database.execute(f"UPDATE {ANSWERS} SET undone = 1 WHERE fid = ?", (row[0],))
            self._settle([row[1]])
        return int(row[1])

    def draw(
        self,
        shape: shapely.Geometry,
        interpreter: str,
        name: str,
        *,
        is_sure: bool = True,
        comment: str = "",
    ) -> int:
        """Keep a point or polygon that was drawn; on return it is on the disk.

        Args:
            shape: the geometry, degrees.
            interpreter: who drew it.
            name: name of its class.
            is_sure: whether the interpreter is sure.
            comment: what the interpreter remarks.

        Returns:
            Its number.

        Raises:
            UsageError: the geometry is no valid point or polygon on the globe.
            OutputError: it cannot be written; the file is as it was.

        """
        _check_texts(interpreter, name, comment)
        _check_shape(shape)
        with self._lock, writing(self._database, self.path):
            row = self._database.execute(
                f"INSERT INTO {DRAWN_LAYER} (geom, class, interpreter, sure, comment, answered_at) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (geometry_blob(shape), name, interpreter, is_sure, comment, _moment()),
            )
            return int(row.lastrowid or 0)

    def erase(self, number: int) -> bool:
        """Remove something that was drawn, for good; whether it was there.

        Raises:
            OutputError: it cannot be written; the file is as it was.

        """
        with self._lock, writing(self._database, self.path):
            row = self._database.execute(
                f"SELECT {DRAWING} FROM {DRAWN_LAYER} WHERE fid = ?", (number,)
            ).fetchone()
            if row is not None:
                erase(self._database, row)
            return row is not None

    def drawn(self) -> list[tuple[int, shapely.Geometry, str, str]]:
        """Number, geometry, class and interpreter of everything that was drawn.

        Raises:
            UsageError: the file cannot be read.

        """
        with self._lock, reading(self.path):
            rows = self._database.execute(
                "SELECT fid, geom, coalesce(class, ''), coalesce(interpreter, '') "
                f"FROM {DRAWN_LAYER} WHERE geom IS NOT NULL ORDER BY fid"
            ).fetchall()
        return [(number, shape_of(blob), name, who) for number, blob, name, who in rows]

    def merge(self, other: Path) -> int:
        """Take over the answers and drawings of a copy of the file, such as another interpreter's.

        What is there already is not taken twice, nor what was erased in either; the copy stays as
        it is.

        Returns:
            Answers and drawings that were taken.

        Raises:
            UsageError: it is no copy of this sample.
            OutputError: it cannot be written; the file is as it was.

        """
        copy = read_copy(other)
        check_same(self.path, self.points, other, copy.points)
        with self._lock, writing(self._database, self.path):
            taken = take(self._database, copy)
            self._settle(sorted({row[0] for row in copy.answers}))
        return taken

    def _settle(self, points: list[int]) -> None:
        """Write what the answers to some points say together into the points' own rows."""
        for point in points:
            some = _holding(self._database, "AND point = ?", point)
            decision = decide(some)
            comments = "; ".join(one.comment for one in some if one.comment) or None
            self._database.execute(
                f"UPDATE {SAMPLE_LAYER} SET class = ?, interpreter = ?, sure = ?, comment = ?, "
                "answered_at = ? WHERE id = ?",
                (
                    decision.name,
                    "; ".join(one.interpreter for one in some) or None,
                    decision.is_sure if some else None,
                    comments,
                    max((one.answered_at for one in some), default=None),
                    point,
                ),
            )


def _holding(database: sqlite3.Connection, where: str, *values: object) -> list[Answer]:
    rows = database.execute(
        f"SELECT {COLUMNS} FROM {ANSWERS} WHERE NOT undone {where} ORDER BY answered_at, fid",
        values,
    )
    last = {}
    for point, name, interpreter, sure, comment, answered_at, map_shown in rows:
        last[point, interpreter] = Answer(
            point,
            interpreter or "unknown",  # emptied by another program
            name,
            bool(sure),
            comment or "",
            answered_at or "",
            bool(map_shown),
        )
    return list(last.values())


def _was_map_shown(database: sqlite3.Connection, point: int, interpreter: str) -> bool:
    row = database.execute(
        f"SELECT 1 FROM {ANSWERS} WHERE point = ? AND interpreter = ? AND map_shown "
        f"UNION SELECT 1 FROM {LOOKS} WHERE point = ? AND interpreter = ? LIMIT 1",
        (point, interpreter) * 2,
    ).fetchone()
    return row is not None


def _check_texts(interpreter: str, name: str | None, comment: str) -> None:
    for what, text in (("interpreter", interpreter), ("class", name)):
        if text is not None and not is_plain_name(text):
            raise UsageError(
                f"The name of the {what} is {text[:60]!r}; it takes printable text of 1 to 100 "
                "characters."
            )
    if len(comment) > MAX_COMMENT:
        raise UsageError(f"The comment has {len(comment):,} characters; {MAX_COMMENT:,} fit.")


def _check_shape(shape: shapely.Geometry) -> None:
    west, south, east, north = (-180.0, -90.0, 180.0, 90.0) if shape.is_empty else shape.bounds
    is_kind = shape.geom_type in ("Point", "Polygon", "MultiPolygon")
    if shape.is_empty or not is_kind or not (-360 <= west <= east <= 360):
        raise UsageError("What is drawn has to be a point or a polygon on the globe.")
    if not (-90 <= south <= north <= 90) or not shape.is_valid:
        raise UsageError("The polygon crosses itself or leaves the globe; draw it again.")


def _moment() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _next_moment(database: sqlite3.Connection) -> str:
    """Now; a millisecond after the last answer, where the clock was turned back or stands still."""
    last = database.execute(f"SELECT max(answered_at) FROM {ANSWERS}").fetchone()[0]
    now = _moment()
    if last is None or last < now:
        return now
    after = datetime.strptime(last, "%Y-%m-%dT%H:%M:%S.%fZ") + timedelta(milliseconds=1)
    return after.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
