"""Pictures of single dates around the points of a sample, kept in a file beside it.

They are read before the labelling starts, point by point, so that a run that is stopped goes on
where it was, and labelling needs no network.
"""

import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lulcmap.dataset import GLIMPSE_BANDS, Glimpse, glimpse_bounds, open_glimpses
from lulcmap.errors import OutputError, ProviderError, UsageError
from lulcmap.system import Progress, no_progress, without_keys
from lulcmap.viewer.maps import BRIGHTEST, MIXES, stretch_of
from lulcmap.viewer.points import Point
from lulcmap.viewer.tiles import drawn

_OURS = 0x4C554C44
"""SQLite's application id of these files: LULD."""

_TABLES = """
CREATE TABLE IF NOT EXISTS asked (settings TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS points (
    id INTEGER PRIMARY KEY, lon REAL, lat REAL, lost INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS dates (
    point INTEGER, number INTEGER, day TEXT, clear BOOLEAN, mix INTEGER, picture BLOB,
    PRIMARY KEY (point, number, mix)
);
"""


@dataclass(frozen=True, slots=True)
class DatesAsked:
    """Which dates are shown of each point."""

    catalog: str
    """Catalogue of the scenes: a provider, an API or a file."""

    days: tuple[date, date]
    """First and last day."""

    count: int
    """Most dates of a point: the clearest of as many equal parts of the period."""

    def to_json(self) -> str:
        """What decides the pictures."""
        return json.dumps([without_keys(self.catalog), *map(str, self.days), self.count])


def dates_path(sample: Path) -> Path:
    """Path of the file beside a sample."""
    return sample.with_name(f"{sample.stem}-dates.sqlite")


class DateFile:
    """The pictures of the dates of points. Any thread may use it."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            OutputError: it is none of these files, or cannot be written.

        """
        self.path = path
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(path, check_same_thread=False)
        except sqlite3.Error as error:
            raise OutputError(f"{path} cannot be opened ({error}).") from error
        try:
            with self._changing() as database:
                self._check_ours(database)
                database.executescript(f"PRAGMA application_id = {_OURS}; {_TABLES}")
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._database.close()

    def start(self, asked: DatesAsked) -> None:
        """Drop what was kept of other dates than these."""
        with self._changing() as database:
            row = database.execute("SELECT settings FROM asked").fetchone()
            if row is None or row[0] != asked.to_json():
                for table in ("asked", "points", "dates"):
                    database.execute(f"DELETE FROM {table}")
                database.execute("INSERT INTO asked VALUES (?)", (asked.to_json(),))

    def lacking(self, points: Sequence[Point], asked: DatesAsked) -> list[Point]:
        """The points of which these dates were not read yet, or not all of their bands."""
        return self._without(points, asked, "SELECT id, lon, lat FROM points WHERE lost = 0")

    def untried(self, points: Sequence[Point], asked: DatesAsked) -> list[Point]:
        """The points of which these dates were not read yet."""
        return self._without(points, asked, "SELECT id, lon, lat FROM points")

    def _without(self, points: Sequence[Point], asked: DatesAsked, query: str) -> list[Point]:
        """The points that a query does not give, or all where other dates are kept."""
        with self._changing() as database:
            row = database.execute("SELECT settings FROM asked").fetchone()
            held = set(database.execute(query))
        if row is None or row[0] != asked.to_json():
            return list(points)
        return [one for one in points if (one.id, one.lon, one.lat) not in held]

    def keep(self, point: Point, glimpses: Sequence[Glimpse], *, lost: int = 0) -> None:
        """Keep what the dates show of a point; on return it is on the disk.

        Args:
            point: the point.
            glimpses: its dates.
            lost: number of bands that could not be read. The point is then read again; what was
                kept of it with fewer lost bands stays.

        """
        place = (point.id, point.lon, point.lat)
        rows = [
            (point.id, number, one.day, one.is_clear, mix, picture)
            for mix, pictures in enumerate(_pictures(glimpses))
            for number, (one, picture) in enumerate(zip(glimpses, pictures, strict=True))
        ]
        with self._changing() as database:
            better = "SELECT 1 FROM points WHERE id = ? AND lon = ? AND lat = ? AND lost < ?"
            if database.execute(better, (*place, lost)).fetchone() is not None:
                return
            database.execute("DELETE FROM dates WHERE point = ?", (point.id,))
            database.executemany("INSERT INTO dates VALUES (?, ?, ?, ?, ?, ?)", rows)
            database.execute("INSERT OR REPLACE INTO points VALUES (?, ?, ?, ?)", (*place, lost))

    def to_json(self, points: Sequence[Point]) -> dict[int, dict[str, Any]]:
        """Days of each point, where their pictures lie, and whether all were read.

        Plain JSON values. A point without a date, none of which is missing, is left out.
        """
        with self._changing() as database:
            rows = database.execute(
                "SELECT point, day, clear FROM dates WHERE mix = 0 ORDER BY point, number"
            ).fetchall()
            places = database.execute("SELECT id, lon, lat, lost FROM points").fetchall()
            is_asked = database.execute("SELECT 1 FROM asked").fetchone() is not None
        days: dict[int, list[dict[str, Any]]] = {}
        for number, day, clear in rows:
            days.setdefault(number, []).append(
                {"day": str(day), "clear": None if clear is None else bool(clear)}
            )
        lost = {tuple(place): count for *place, count in places}
        told = {}
        for one in points:
            count = lost.get((one.id, one.lon, one.lat))
            own = [] if count is None else days.get(one.id, [])
            is_whole = not is_asked if count is None else count == 0
            if own or not is_whole:
                west, south, east, north = glimpse_bounds(one.lon, one.lat)
                box = [[south, west], [north, east]]
                told[one.id] = {"bounds": box, "days": own, "is_whole": is_whole}
        return told

    def picture(self, point: int, number: int, mix: int) -> bytes | None:
        """A picture of a date, WebP, in the first or second mix of colours; None if there is none.

        Raises:
            OutputError: the file cannot be read.

        """
        with self._changing() as database:
            row = database.execute(
                "SELECT picture FROM dates WHERE point = ? AND number = ? AND mix = ?",
                (point, number, mix),
            ).fetchone()
        # A file of somebody else may hold anything in its columns.
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, self._database:
                yield self._database
        except sqlite3.Error as error:
            raise OutputError(
                f"{self.path} cannot be used ({error}). Free some space, or move the file away; "
                "the dates are then read again."
            ) from error

    def _check_ours(self, database: sqlite3.Connection) -> None:
        try:
            mark = database.execute("PRAGMA application_id").fetchone()[0]
            is_new = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        except sqlite3.DatabaseError:
            mark, is_new = 0, False
        if mark != _OURS and not (is_new and mark == 0):
            raise OutputError(
                f"{self.path} exists and holds no dates of lulcmap. Move it away: the dates of the "
                "points are kept there."
            )


def read_dates(
    file: DateFile, points: Sequence[Point], asked: DatesAsked, *, progress: Progress = no_progress
) -> list[str]:
    """Read the dates of the points that lack them, or of which bands could not be read before.

    Args:
        file: where they are kept, point by point.
        points: the points.
        asked: which dates.
        progress: called with a stage's name, how many points are done, and how many there are.

    Returns:
        Why dates could not be read; the same command tries these again.

    Raises:
        UsageError: the catalogue is none.
        NoScenesError: it has no scenes of the points.
        ProviderError: the provider failed before every point was tried; the same command goes on.
        OutputError: the file cannot be written.

    """
    lacking = file.lacking(points, asked)
    if not lacking:
        return []
    try:
        return _read(file, points, lacking, asked, progress)
    except ProviderError as error:
        if file.untried(points, asked):
            raise
        return [str(error)]  # what could be read before is there to be shown


def _read(
    file: DateFile,
    points: Sequence[Point],
    lacking: Sequence[Point],
    asked: DatesAsked,
    progress: Progress,
) -> list[str]:
    """Read the dates of some of the points; why bands could not be read."""
    places = np.array([[one.lon, one.lat] for one in lacking])
    with open_glimpses(asked.catalog, places, asked.days, asked.count) as glimpses:
        file.start(asked)
        for done, point in enumerate(lacking):
            progress("dates", len(points) - len(lacking) + done, len(points))
            before = len(glimpses.lost)
            seen = glimpses.of(point.lon, point.lat)
            file.keep(point, seen, lost=len(glimpses.lost) - before)
        progress("dates", len(points), len(points))
        return glimpses.lost


def asked_dates(
    map_path: Path, period: tuple[str, str] | None, count: int, catalog: str | None
) -> DatesAsked:
    """The dates of a map's period, from a catalogue or from the scenes of its run.

    Args:
        map_path: path of the map.
        period: first and last day of its report, ISO 8601; None without a report.
        count: most dates of a point.
        catalog: catalogue; None takes the scenes in the run folder beside the map.

    Raises:
        UsageError: no report tells the map's period, or the map has no run folder and no catalogue
            is given.

    """
    try:
        start, end = map(date.fromisoformat, period or ())
    except (TypeError, ValueError):
        raise UsageError(
            f"{map_path} has no report beside it that tells the period of --dates. Copy "
            f"{map_path.name}.report.json beside it, or leave out --dates."
        ) from None
    if catalog is None:
        items = map_path.with_name(f"{map_path.name}.run") / "items.json"
        if not items.is_file():
            raise UsageError(
                f"--dates needs scenes, and {map_path} has no run folder beside it. Give "
                "--catalog as to lulcmap predict, or make the map with --keep-run."
            )
        catalog = str(items.absolute())
    return DatesAsked(catalog, (start, end), count)


def _pictures(glimpses: Sequence[Glimpse]) -> Iterator[list[bytes]]:
    """Pictures of some dates in each mix of colours, with one stretch for all dates of a point."""
    for mix, bands in MIXES.items():
        chosen = [GLIMPSE_BANDS.index(band) for band in bands]
        images = [one.image[chosen] for one in glimpses]
        valid: list[NDArray[np.bool_]] = [np.all(image > 0, axis=0) for image in images]
        clear = [
            seen if one.clear is None or not (seen & one.clear).any() else seen & one.clear
            for one, seen in zip(glimpses, valid, strict=True)
        ]
        known = [image[:, mask].ravel() for image, mask in zip(images, clear, strict=True)]
        stretch = stretch_of(np.concatenate([*known, np.zeros(0)]), BRIGHTEST[mix])
        yield [
            drawn(image, seen, stretch, form="WEBP")
            for image, seen in zip(images, valid, strict=True)
        ]
