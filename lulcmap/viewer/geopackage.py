"""The tables of answers in a sample's GeoPackage, through SQLite.

Each change is one transaction with a rollback journal, flushed to the disk before it is
acknowledged: after a kill at any moment the file holds all changes that were acknowledged, and none
by half.
"""

import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import shapely

from lulcmap.errors import OutputError, UsageError
from lulcmap.evaluation import ANSWERS, DESIGN, DRAWN, DRAWN_LAYER, SAMPLE_LAYER
from lulcmap.system import check_is_file

_BUSY_S = 10.0
"""Seconds to wait for another program that writes the file."""

_SRS = 4326

_KINDS = {
    "class": "TEXT",
    "interpreter": "TEXT",
    "sure": "BOOLEAN",
    "comment": "TEXT",
    "answered_at": "DATETIME",
}
"""Columns of an answer in each of the three tables, and their types."""

_ANSWER_COLUMNS = ", ".join(f"{name} {kind}" for name, kind in _KINDS.items())

ERASED = "erased"
"""Table of what names the drawings that were erased; no layer, so that other programs show none."""

LOOKS = "looks"
"""Table of the points at which the class of the map was shown; no layer either."""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS {ANSWERS} (
    fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    point INTEGER NOT NULL,
    {_ANSWER_COLUMNS},
    map_shown BOOLEAN NOT NULL DEFAULT 0,
    undone BOOLEAN NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS {DRAWN_LAYER} (
    fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    geom BLOB,
    {_ANSWER_COLUMNS},
    {DESIGN} TEXT NOT NULL DEFAULT '{DRAWN}'
);
CREATE TABLE IF NOT EXISTS {ERASED} (
    geom BLOB,
    interpreter TEXT,
    answered_at DATETIME
);
CREATE TABLE IF NOT EXISTS {LOOKS} (
    point INTEGER,
    interpreter TEXT,
    UNIQUE (point, interpreter)
);
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier)
    VALUES ('{ANSWERS}', 'attributes', '{ANSWERS}');
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, srs_id)
    VALUES ('{DRAWN_LAYER}', 'features', '{DRAWN_LAYER}', {_SRS});
INSERT OR IGNORE INTO gpkg_geometry_columns VALUES
    ('{DRAWN_LAYER}', 'geom', 'GEOMETRY', {_SRS}, 0, 0);
"""

_NEEDED = {"id", "lon", "lat"}

_TABLE_COLUMNS = {
    ANSWERS: ("fid", "point", *_KINDS, "map_shown", "undone"),
    DRAWN_LAYER: ("fid", "geom", *_KINDS),
    ERASED: ("geom", "interpreter", "answered_at"),
    LOOKS: ("point", "interpreter"),
}
"""Columns that are read of each table."""


def open_database(path: Path, *, writes: bool = True) -> sqlite3.Connection:
    """Open a sample's file for its answers.

    Args:
        path: path of the file.
        writes: whether answers are written; what the file lacks for them is then added.

    Raises:
        UsageError: it is no sample of lulcmap, or is to be read and has no answers.
        OutputError: it cannot be written.

    """
    check_is_file(path, UsageError)
    if not path.is_file():
        raise UsageError(
            f"No file {path}. Draw a sample: lulcmap sample MAP --size 600 --out FILE."
        )
    try:
        database = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={'rw' if writes else 'ro'}",
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
        )
    except sqlite3.Error as error:
        raise _unwritable(path, error) from error
    try:
        with reading(path):
            _check_sample(database, path)
            if not columns_of(database, ANSWERS):
                if not writes:
                    raise UsageError(f"{path} has no answers of lulcmap label.")
                _check_no_own_values(database, path)
            _check_tables(database, path)
        if writes:
            _prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tells in a line what keeps a file from being read.

    Raises:
        UsageError: it cannot be read.

    """
    try:
        yield
    except sqlite3.Error as error:
        raise UsageError(
            f"{path} cannot be read as a GeoPackage ({error}). Give a file that lulcmap sample "
            "wrote, and close other programs that edit it, such as QGIS."
        ) from error


@contextmanager
def writing(database: sqlite3.Connection, path: Path) -> Iterator[None]:
    """One transaction: all that the body changes is on the disk when it ends, or none of it.

    Raises:
        OutputError: it cannot be written; the file is as it was.

    """
    try:
        database.execute("BEGIN IMMEDIATE")
        yield
        database.execute("COMMIT")
    except sqlite3.Error as error:
        raise _unwritable(path, error) from error
    finally:
        if database.in_transaction:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")


def geometry_blob(shape: shapely.Geometry) -> bytes:
    """A geometry in degrees as a GeoPackage keeps it: a header with its extent, then WKB."""
    west, south, east, north = shape.bounds
    header = struct.pack("<2sBBi4d", b"GP", 0, 0b11, _SRS, west, east, south, north)
    return header + bytes(shapely.to_wkb(shape))


def shape_of(blob: bytes) -> shapely.Geometry:
    """The geometry that a GeoPackage keeps."""
    doubles = (0, 4, 6, 6, 8)[blob[3] >> 1 & 0b111]
    return shapely.from_wkb(blob[8 + 8 * doubles :])


def _check_sample(database: sqlite3.Connection, path: Path) -> None:
    advice = "Give a file that lulcmap sample wrote."
    columns = columns_of(database, SAMPLE_LAYER)
    if not columns.keys() >= _NEEDED:
        raise UsageError(
            f"{path} has no layer {SAMPLE_LAYER} with the columns id, lon and lat. {advice}"
        )
    repeated = database.execute(
        f"SELECT id FROM {SAMPLE_LAYER} WHERE id IS NOT NULL GROUP BY id HAVING count(*) > 1"
    ).fetchone()
    if repeated is not None:
        raise UsageError(
            f"{path} has the id {repeated[0]} more than once; ids name its points. {advice}"
        )


def _check_tables(database: sqlite3.Connection, path: Path) -> None:
    """Refuse tables of the names of ours that are not ours."""
    for table, needed in _TABLE_COLUMNS.items():
        columns = columns_of(database, table)
        missing = [name for name in needed if name not in columns]
        if columns and missing:
            raise UsageError(
                f"{path} has a table {table} without the column {missing[0]}: lulcmap label did "
                "not write it. Rename the table, or give a file that lulcmap sample wrote."
            )


def _check_no_own_values(database: sqlite3.Connection, path: Path) -> None:
    """Refuse columns of the user that the first answers would write over."""
    columns = columns_of(database, SAMPLE_LAYER)
    for name, kind in _KINDS.items():
        own = next((one for one in columns if one.lower() == name), None)
        if own is None:
            continue
        held = database.execute(
            f"SELECT count(*) FROM {SAMPLE_LAYER} WHERE trim(\"{own}\") != ''"
        ).fetchone()[0]
        if held or own != name or columns[own].partition("(")[0].upper() != kind:
            raise UsageError(
                f"{path} has a column {own} of its own, {columns[own]} with {held:,} values, and "
                f"no answers of lulcmap label, which writes its answers into {name}. Rename the "
                "column. Classes that are known belong in the column label: evaluate reads it "
                "where nobody answered."
            )


def columns_of(database: sqlite3.Connection, table: str) -> dict[str, str]:
    """Type of each column of a table; nothing if there is no such table."""
    return {row[1]: row[2] for row in database.execute(f"PRAGMA table_info({table})")}


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    """Set the database up, and add the tables and columns that are missing."""
    _add_functions(database)
    try:
        # A program that has the file open may hold it in another mode; that one is safe too.
        with suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode=DELETE")
        database.execute("PRAGMA synchronous=EXTRA")
        present = columns_of(database, SAMPLE_LAYER)
    except sqlite3.Error as error:
        raise _unwritable(path, error) from error
    with writing(database, path):
        for statement in _TABLES.split(";\n"):
            database.execute(statement)
        for name, kind in _KINDS.items():
            if name not in present:
                database.execute(f"ALTER TABLE {SAMPLE_LAYER} ADD COLUMN {name} {kind}")


def _add_functions(database: sqlite3.Connection) -> None:
    """The functions that a layer's spatial index calls whenever a row changes."""

    def is_empty(blob: bytes | None) -> bool | None:
        return None if blob is None else bool(shape_of(blob).is_empty)

    database.create_function("ST_IsEmpty", 1, is_empty, deterministic=True)
    for place, name in enumerate(("ST_MinX", "ST_MinY", "ST_MaxX", "ST_MaxY")):

        def edge(blob: bytes | None, place: int = place) -> float | None:
            return None if blob is None else float(shape_of(blob).bounds[place])

        database.create_function(name, 1, edge, deterministic=True)


def _unwritable(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"{path} cannot be written ({error}). Close other programs that edit it, such as QGIS, and "
        "check that the file and its folder are writable and the disk is not full."
    )
