"""Read labels as points or polygons: vector files, CSV or Parquet."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS

from lulcmap.errors import UsageError
from lulcmap.geo import datum_doubt, first_line, open_vectors
from lulcmap.system import check_is_file, refuse_longer_rows

WGS84 = CRS.from_epsg(4326)

_TABLES = {".csv", ".parquet"}

LABEL, CLASS = "label", "class"
"""Columns of the class of a point: as people write it themselves, and as ``lulcmap label`` does."""

INTERPRETER, ANSWERED_AT = "interpreter", "answered_at"
"""Columns of who answered it there, and when."""

ANSWERED = {CLASS, INTERPRETER, ANSWERED_AT}
"""Columns by which a file is known to hold answers."""

_FIRST_LAYER = "sample"
"""Layer that is read of several, if it is there."""


@dataclass(frozen=True)
class Features:
    """The geometries of a file, with their columns."""

    path: Path
    """Path of the file."""

    shapes: NDArray[np.object_]
    """(n,) points or polygons."""

    crs: CRS
    """CRS of the geometries."""

    columns: dict[str, NDArray[Any]]
    """(n,) values of each column, by its name."""

    def column(self, name: str) -> NDArray[Any]:
        """(n,) values of a column.

        Raises:
            UsageError: the file has no column of that name.

        """
        if name not in self.columns:
            raise UsageError(
                f"{self.path} has no column {name!r}; it has {', '.join(self.columns) or 'none'}. "
                "Give one of them."
            )
        return self.columns[name]

    def labels(self, name: str | None) -> NDArray[Any]:
        """(n,) labels: a column, or without its name what was written as the label.

        That is the ``class`` of a file that ``lulcmap label`` answered, or else the ``label``,
        which people fill in by themselves.

        Raises:
            UsageError: the file has no such column.

        """
        if name is not None or not set(self.columns) >= ANSWERED:
            return self.column(name or LABEL)
        answered = self.columns[CLASS]
        if LABEL not in self.columns:
            return answered
        return np.where([is_blank(one) for one in answered], self.columns[LABEL], answered)


def is_blank(value: object) -> bool:
    """Whether a value of a column is empty: None, NaN or blanks."""
    return value is None or value != value or str(value).strip() == ""


def load_features(path: Path) -> Features:
    """Load the features of a file; of a table, points at its columns ``lon`` and ``lat``.

    Raises:
        UsageError: the file cannot be read, or its CRS is unknown.

    """
    check_is_file(path, UsageError)
    if not path.is_file():
        raise UsageError(f"No file {path}.")
    if path.suffix.lower() in _TABLES:
        return _from_table(path)
    return _from_vectors(path)


def _from_vectors(path: Path) -> Features:
    """The features of a vector file; of several layers the sample, or else the first."""
    with open_vectors(path) as file:
        first = next(iter(file.layers), None)
        layer = file.read(_FIRST_LAYER if _FIRST_LAYER in file.layers else first)
    if layer.crs is None:
        raise UsageError(f"{path} has no CRS; save it with one, such as EPSG:4326.")
    datum_doubt(layer.crs, shapely.get_coordinates(layer.shapes), str(path))
    return Features(path, layer.shapes, layer.crs, layer.columns)


def _unreadable_error(path: Path, error: Exception) -> UsageError:
    return UsageError(
        f"{path} cannot be read ({first_line(error)}). Give a GeoTIFF, GeoPackage, GeoJSON, "
        "Shapefile, CSV or Parquet file of labels."
    )


def _from_table(path: Path) -> Features:
    is_csv = path.suffix.lower() == ".csv"
    columns = _read_csv(path) if is_csv else _read_parquet(path)
    if columns is None:
        return _from_vectors(path)
    missing = [name for name in ("lon", "lat") if name not in columns]
    if missing:
        raise UsageError(
            f"{path} has no column {' and '.join(missing)}; a table of points needs lon and lat "
            "(degrees) and a label."
        )
    try:
        lon, lat = (np.asarray(columns[name], np.float64) for name in ("lon", "lat"))
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{path} has a lon or lat that is not a number ({error}); give degrees."
        ) from error
    return Features(
        path, np.atleast_1d(np.asarray(shapely.points(lon, lat), object)), WGS84, columns
    )


def _read_csv(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise _unreadable_error(path, error) from error
    refuse_longer_rows(rows, path)
    names = reader.fieldnames or []
    return {name: np.array([row[name] for row in rows], object) for name in names}


def _read_parquet(path: Path) -> dict[str, NDArray[Any]] | None:
    """Columns of a table; None if it is GeoParquet, which has geometries."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed: pip install 'lulcmap[train]'. Or give "
            "a CSV file."
        ) from error
    try:
        table = pyarrow.parquet.ParquetFile(path).read()
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable_error(path, error) from error
    if b"geo" in (table.schema.metadata or {}) and not {"lon", "lat"} <= set(table.column_names):
        return None
    return {
        name: np.asarray(column.to_pylist(), object)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
