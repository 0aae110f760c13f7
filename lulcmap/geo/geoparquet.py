"""Read GeoParquet with pyarrow; the GDAL of pyogrio's wheels has no driver of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from pyproj import CRS
from pyproj.exceptions import CRSError

from lulcmap.errors import UsageError
from lulcmap.geo.crs import understood_crs
from lulcmap.geo.layer import VectorLayer, first_line


def read_geoparquet(path: Path, name: str) -> VectorLayer:
    """The features of a GeoParquet file.

    Args:
        path: path of the file.
        name: what messages call it.

    Raises:
        UsageError: pyarrow is not installed, or the file is broken or has no geometry.

    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "GeoParquet needs pyarrow, which is not installed: pip install pyarrow. Or give a "
            "GeoPackage."
        ) from error
    try:
        file = pyarrow.parquet.ParquetFile(path)
        about = json.loads((file.schema_arrow.metadata or {})[b"geo"])
        geometry = about["columns"][about["primary_column"]]
        if geometry.get("encoding", "WKB") != "WKB":
            raise ValueError(f"its geometry is encoded as {geometry['encoding']!r}, not as WKB")
        table = file.read()
        shapes = shapely.force_2d(
            shapely.from_wkb(table.column(about["primary_column"]).to_pylist())
        )
        crs = _crs(geometry)
    except CRSError as error:
        raise UsageError(
            f"The CRS of {name} is not understood. Convert the file to longitude and latitude "
            "(EPSG:4326)."
        ) from error
    except KeyError as error:
        raise UsageError(
            f"{name} is Parquet without a geometry: its metadata lacks {error}. Give GeoParquet."
        ) from error
    except (OSError, ValueError, TypeError, AttributeError, pyarrow.ArrowException) as error:
        raise UsageError(f"{name} cannot be read as GeoParquet: {first_line(error)}.") from error
    except shapely.errors.ShapelyError as error:
        raise UsageError(
            f"{name} has a geometry that cannot be read: {first_line(error)}."
        ) from error
    columns = {
        column: np.asarray(values.to_pylist(), object)
        for column, values in zip(table.column_names, table.columns, strict=True)
        if column != about["primary_column"]
    }
    return VectorLayer("GeoParquet", np.atleast_1d(np.asarray(shapes, object)), crs, columns)


def _crs(geometry: dict[str, Any]) -> CRS | None:
    """CRS of a geometry column: WGS 84 if it is not stated, none if it is null."""
    if "crs" not in geometry:
        return CRS.from_user_input("OGC:CRS84")
    crs = geometry["crs"]
    return None if crs is None else understood_crs(CRS.from_json_dict(crs))
