"""Read labels as points or polygons: GeoPackage, GeoJSON, Shapefile, CSV or Parquet."""

import csv
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray
from pyproj import CRS
from pyproj.exceptions import CRSError

from lulcmap.errors import UsageError

WGS84 = CRS.from_epsg(4326)

_TABLES = {".csv", ".parquet"}


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


def load_features(path: Path) -> Features:
    """Load the features of a file; of a table, points at its columns ``lon`` and ``lat``.

    Raises:
        UsageError: the file cannot be read, or its CRS is unknown.

    """
    if not path.is_file():
        raise UsageError(f"No file {path}.")
    if path.suffix.lower() in _TABLES:
        return _from_table(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # GDAL's warnings; what matters is checked below
            meta, _, blobs, fields = pyogrio.raw.read(path, force_2d=True)
        crs = CRS.from_user_input(meta["crs"]) if meta["crs"] else None
        shapes = np.atleast_1d(np.asarray(shapely.from_wkb(blobs), object))
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, CRSError) as error:
        raise _unreadable_error(path, error) from error
    except (pyogrio.errors.FeatureError, shapely.errors.GEOSException, ValueError) as error:
        raise _unreadable_error(path, error) from error
    if crs is None:
        raise UsageError(f"{path} has no CRS; save it with one, such as EPSG:4326.")
    return Features(path, shapes, crs, dict(zip(meta["fields"].tolist(), fields, strict=True)))


def _unreadable_error(path: Path, error: Exception) -> UsageError:
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return UsageError(
        f"{path} cannot be read ({text}). Give a GeoTIFF, GeoPackage, GeoJSON, Shapefile, CSV or "
        "Parquet file of labels."
    )


def _from_table(path: Path) -> Features:
    columns = _read_csv(path) if path.suffix.lower() == ".csv" else _read_parquet(path)
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
    names = reader.fieldnames or []
    return {name: np.array([row[name] for row in rows], object) for name in names}


def _read_parquet(path: Path) -> dict[str, NDArray[Any]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed: pip install 'lulcmap[train]'. Or give "
            "a CSV file."
        ) from error
    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable_error(path, error) from error
    return {
        name: np.asarray(column.to_pylist(), object)
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
