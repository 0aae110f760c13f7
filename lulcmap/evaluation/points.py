"""The labelled points of a sample, as a table that other commands estimate from: ``points.csv``."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.errors import UsageError
from lulcmap.evaluation.design import DESIGN, check_random, is_random
from lulcmap.evaluation.stratified import AREA, PIXEL_AREA, STRATUM, LabelledSample
from lulcmap.evaluation.vectors import load_features
from lulcmap.system import write_table

POINTS = "points.csv"
"""Name of the file in the folder of an evaluation."""

_COLUMNS = ("lon", "lat", STRATUM, AREA, PIXEL_AREA, "mapped", "true")


@dataclass(frozen=True)
class SamplePoints:
    """The labelled points of a stratified random sample, as an evaluation wrote them."""

    path: Path
    """Path of their file."""

    lon: NDArray[np.float64]
    """(n,) longitudes, degrees."""

    lat: NDArray[np.float64]
    """(n,) latitudes, degrees."""

    stratum: NDArray[np.str_]
    """(n,) names of the strata: values of the map the sample was drawn of."""

    stratum_km2: NDArray[np.float64]
    """(n,) areas of the strata, square kilometres."""

    pixel_m2: NDArray[np.float64]
    """(n,) areas of the points' pixels, square metres."""

    mapped: NDArray[np.str_]
    """(n,) names of the classes in the map that was evaluated."""

    true: NDArray[np.str_]
    """(n,) names of the classes of the labels."""


def write_points(path: Path, sample: LabelledSample, classes: Sequence[str]) -> None:
    """Write the labelled points, a row each.

    Args:
        path: path of the file to write.
        sample: the points.
        classes: names of the classes.

    Raises:
        OSError: it cannot be written.

    """
    rows = (
        [
            round(float(sample.lon[i]), 9),
            round(float(sample.lat[i]), 9),
            sample.names[stratum],
            float(sample.areas[stratum]),
            float(sample.weights[i]),
            classes[sample.mapped[i]],
            classes[sample.truth[i]],
        ]
        for i, stratum in enumerate(sample.strata.tolist())
    )
    write_table(path, [_COLUMNS, *rows])


def read_points(folder: Path) -> SamplePoints:
    """Read the labelled points of an evaluation.

    Args:
        folder: path of the folder that ``write_evaluation`` wrote, or of one of its files.

    Raises:
        UsageError: there are none, they cannot be read, or were chosen for training.

    """
    if folder.suffix.lower() == ".gpkg" and folder.is_file():
        check_random(load_features(folder))
    path = (folder if folder.is_dir() else folder.parent) / POINTS
    if not path.is_file():
        raise UsageError(
            f"{folder} has no {POINTS}: it is not what lulcmap evaluate writes for a sample of a "
            "map. Draw and label one with lulcmap sample, then: lulcmap evaluate MAP --labels "
            "SAMPLE --out FOLDER."
        )
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
        # Before a text like a formula, the table has an apostrophe.
        text = {
            name: np.array([row[name].removeprefix("'") for row in rows], str) for name in _COLUMNS
        }
        lon, lat, km2, m2 = (
            text[name].astype(np.float64) for name in ("lon", "lat", AREA, PIXEL_AREA)
        )
    except (
        OSError,
        UnicodeDecodeError,
        csv.Error,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
    ) as error:
        raise UsageError(
            f"{path} cannot be read as the points of an evaluation ({error}). Run lulcmap evaluate "
            "again."
        ) from error
    designs = np.array([row.get(DESIGN) for row in rows], object)
    if not is_random(designs).all():
        raise UsageError(
            f"{path} has points that were chosen for training, not drawn at random (column "
            "design): no area can be estimated from them. Evaluate a random sample alone."
        )
    if not rows or not (np.isfinite([lon, lat, km2, m2]).all() and (km2 > 0).all()):
        raise UsageError(f"{path} has no points, or areas that are no numbers. Evaluate again.")
    return SamplePoints(path, lon, lat, text[STRATUM], km2, m2, text["mapped"], text["true"])
