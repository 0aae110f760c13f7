"""The file of a sample: a GeoPackage with a layer of points, to be labelled."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import numpy as np
import pyogrio
import shapely
from numpy.typing import NDArray

from lulcmap.errors import OutputError
from lulcmap.evaluation.design import DESIGN, TRAINING
from lulcmap.evaluation.sampling import MapSample
from lulcmap.evaluation.stratified import AREA, PIXEL_AREA, PIXELS, STRATUM
from lulcmap.evaluation.training_sample import TrainingSample
from lulcmap.system import check_destination, check_ours, replacing

SAMPLE_LAYER, ANSWERS, DRAWN_LAYER = "sample", "answers", "drawn"
"""Layer of the points; what ``lulcmap label`` adds: a table of all answers, and a layer of points
and polygons that were drawn by hand."""

_SQLITE = b"SQLite format 3\0"
"""First bytes of such a file."""

_Columns = Mapping[str, NDArray[np.generic] | NDArray[np.object_]]


def check_sample_path(out: Path, *, overwrite: bool) -> None:
    """Check that the sample may be written, before the work begins.

    Args:
        out: path of the file.
        overwrite: whether an existing sample may be replaced.

    Raises:
        OutputError: the file exists or is none that lulcmap wrote, or cannot be written there.

    """
    check_destination(out)
    if out.exists() and not overwrite:
        raise OutputError(
            f"{out} exists and may hold labels. Give --overwrite to replace it, or another --out."
        )
    check_ours(out, _is_sample, kind="a sample")


def _is_sample(path: Path) -> bool:
    """Whether a file is a GeoPackage with the table of a sample and no other.

    Its labels may be filled in and columns added; QGIS adds a table of styles, ``lulcmap label``
    those of its answers.
    """
    with path.open("rb") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            return False
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        ) as database:
            tables = {name for (name,) in database.execute("SELECT table_name FROM gpkg_contents")}
            columns = {row[1] for row in database.execute(f"PRAGMA table_info({SAMPLE_LAYER})")}
    except sqlite3.Error:
        return False
    own = {"layer_styles", ANSWERS, DRAWN_LAYER}
    is_design = columns >= {STRATUM, PIXELS, AREA} or DESIGN in columns
    return tables - own == {SAMPLE_LAYER} and "label" in columns and is_design


def write_sample(out: Path, sample: MapSample, *, overwrite: bool = False) -> None:
    """Write the points as a GeoPackage: the whole file, or nothing.

    Its columns begin with ``id`` and the empty ``label``. The stratum, which would tell the
    labeller the class of the map, comes last, and the points are in random order.

    Args:
        out: path of the file to write.
        sample: the points.
        overwrite: whether an existing sample may be replaced.

    Raises:
        OutputError: the file exists or is none that lulcmap wrote, or cannot be written.

    """
    strata = sample.strata
    _write(
        out,
        {
            **_blank(sample.lon, sample.lat),
            PIXEL_AREA: sample.pixel_m2,
            STRATUM: np.array([one.value for one in strata])[sample.stratum],
            PIXELS: np.array([one.pixels for one in strata])[sample.stratum],
            AREA: np.array([one.km2 for one in strata])[sample.stratum],
        },
        overwrite=overwrite,
    )


def write_training_sample(out: Path, sample: TrainingSample, *, overwrite: bool = False) -> None:
    """Write points to train with as a GeoPackage: the whole file, or nothing.

    The column ``design`` says what they are; they have no strata. The map's value comes last, so
    that it does not lead whoever labels them.

    Args:
        out: path of the file to write.
        sample: the points.
        overwrite: whether an existing sample may be replaced.

    Raises:
        OutputError: the file exists or is none that lulcmap wrote, or cannot be written.

    """
    _write(
        out,
        {
            **_blank(sample.lon, sample.lat),
            DESIGN: np.full(len(sample.lon), TRAINING, object),
            "unsureness": np.round(sample.unsureness, 2),
            "mapped": sample.mapped,
        },
        overwrite=overwrite,
    )


def _blank(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> _Columns:
    """The columns that every sample begins with."""
    return {
        "id": np.arange(1, len(lon) + 1),
        "label": np.full(len(lon), None, object),
        "lon": lon,
        "lat": lat,
    }


def _write(out: Path, columns: _Columns, *, overwrite: bool) -> None:
    check_sample_path(out, overwrite=overwrite)
    try:
        with replacing(out) as part:
            pyogrio.raw.write(
                part,
                geometry=shapely.to_wkb(shapely.points(columns["lon"], columns["lat"])),
                field_data=list(columns.values()),
                fields=list(columns),
                layer=SAMPLE_LAYER,
                driver="GPKG",
                geometry_type="Point",
                crs="EPSG:4326",
            )
    except (pyogrio.errors.DataSourceError, OSError) as error:
        raise OutputError(
            f"The sample cannot be written to {out} ({error}). Check that the folder exists and is "
            "writable, and that the disk is not full."
        ) from error
