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

_ANSWER_COLUMNS = """
    class TEXT,
    interpreter TEXT,
    sure BOOLEAN,
    comment TEXT,
    answered_at DATETIME"""
"""Columns of an answer, in each of the three tables."""

_TABLES = f"""
CREATE TABLE IF NOT EXISTS {ANSWERS} (
    fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    point INTEGER NOT NULL,{_ANSWER_COLUMNS},
    map_shown BOOLEAN NOT NULL DEFAULT 0,
    undone BOOLEAN NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS {DRAWN_LAYER} (
    fid INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    geom BLOB,{_ANSWER_COLUMNS},
    {DESIGN} TEXT NOT NULL DEFAULT '{DRAWN}'
);
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier)
    VALUES ('{ANSWERS}', 'attributes', '{ANSWERS}');
INSERT OR IGNORE INTO gpkg_contents (table_name, data_type, identifier, srs_id)
    VALUES ('{DRAWN_LAYER}', 'features', '{DRAWN_LAYER}', {_SRS});
INSERT OR IGNORE INTO gpkg_geometry_columns VALUES
    ('{DRAWN_LAYER}', 'geom', 'GEOMETRY', {_SRS}, 0, 0);
"""

_NEEDED = {"id", "lon", "lat"}


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
        _check_sample(database, path)
        if writes:
            _prepare(database, path)
        elif not list(database.execute(f"PRAGMA table_info({ANSWERS})")):
            raise UsageError(f"{path} has no answers of lulcmap label.")
    except BaseException:
        database.close()
        raise
    return database


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
    try:
        columns = {row[1] for row in database.execute(f"PRAGMA table_info({SAMPLE_LAYER})")}
    except sqlite3.Error as error:
        raise UsageError(f"{path} cannot be read as a GeoPackage ({error}). {advice}") from error
    if not columns >= _NEEDED:
        raise UsageError(
            f"{path} has no layer {SAMPLE_LAYER} with the columns id, lon and lat. {advice}"
        )
    repeated = database.execute(
        f"SELECT id FROM {SAMPLE_LAYER} GROUP BY id HAVING count(*) > 1 OR id IS NULL"
    ).fetchone()
    if repeated is not None:
        raise UsageError(
            f"{path} has the id {repeated[0]} more than once; ids name its points. {advice}"
        )


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    """Set the database up, and add the tables and columns that are missing."""
    _add_functions(database)
    try:
        # A program that has the file open may hold it in another mode; that one is safe too.
        with suppress(sqlite3.OperationalError):
            database.execute("PRAGMA journal_mode=DELETE")
        database.execute("PRAGMA synchronous=EXTRA")
        present = {row[1] for row in database.execute(f"PRAGMA table_info({SAMPLE_LAYER})")}
        wanted = [one.split() for one in _ANSWER_COLUMNS.split(",")]
    except sqlite3.Error as error:
        raise _unwritable(path, error) from error
    with writing(database, path):
        for statement in _TABLES.split(";\n"):
            database.execute(statement)
        for name, kind in wanted:
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
