"""The real samples: cleaned Sentinel-2 L2A pixels with a WorldCover class, and their folds.

There are 1,000 places world-wide and 3,619 in Canada, each with one pixel and a spectrum per month.
They are cleaned as follows:

- WorldCover's classes become Dynamic World's (``CROSSWALK``).
- A label is valid for a year, a spectrum for a day. Snow (``is_snow``) is relabelled; clouds, thin
  snow, and water spectra that show dry ground (a lake's bed, a wet field) are dropped.
- Canadian places are many and mostly fields of one region, so each has weight ``CANADA_WEIGHT``.
- Steps are calendar months in Canada and months from October on elsewhere. The files do not say so,
  but only then are northern crops greenest, and snow most common, in the same months everywhere.

The L1C points beside these (top of atmosphere, labelled by Dynamic World itself) are never read:
their reflectances differ, and a model must not see both unless it knows which is which. They could
train a model for L1C images, or measure how much the two legends disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from lulcmap.legend import NAMES
from lulcmap.sensors import S1_BANDS, S2_BANDS

BANDS = (*S2_BANDS, *S1_BANDS)

POINTS_FILE = "l2a_worldcover_points.parquet"

CROSSWALK: Mapping[int, str] = {
    10: "trees",
    20: "shrub_and_scrub",
    30: "grass",
    40: "crops",
    50: "built",
    60: "bare",
    70: "snow_and_ice",
    80: "water",
    90: "flooded_vegetation",
    95: "flooded_vegetation",  # mangroves: trees whose ground is under water
}
"""Dynamic World class of each WorldCover code; moss and lichen (100) has none."""

SNOW = NAMES.index("snow_and_ice")
WATER = NAMES.index("water")

CANADA_WEIGHT = 0.2
"""Weight of a Canadian place; it is 1 elsewhere."""

MAX_WATER_B11_DN = 700
"""Reflectance in B11 above which a pixel is not water, DN."""

BLOCK_DEGREES = 8.0
"""Side of a block that is held out as a whole, degrees."""

N_FOLDS = 5
"""Number of folds."""

HELD_OUT_FOLD = 0
"""Fold that never trains."""

MIN_DEGREES_APART = 2.0
"""Least distance between training and test places, degrees of arc."""


@dataclass(frozen=True)
class Points:
    """Places and their monthly spectra."""

    lat: NDArray[np.float64]
    """Latitude of each place, degrees, (P,)."""

    lon: NDArray[np.float64]
    """Longitude of each place, degrees, (P,)."""

    label: NDArray[np.uint8]
    """Class of each place, Dynamic World's ids, (P,)."""

    weight: NDArray[np.float64]
    """Weight of each place: 1, or ``CANADA_WEIGHT``, (P,)."""

    clear: NDArray[np.float32]
    """Clear spectra, DN and decibels, (P, 12, 11), January first; NaN where there is none."""

    snowy: NDArray[np.float32]
    """Spectra of the months under snow, like ``clear``, (P, 12, 11)."""

    def __len__(self) -> int:
        return len(self.lat)

    def __getitem__(self, rows: NDArray[np.bool_]) -> Self:
        """Select places by a mask."""
        return type(self)(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def block(self) -> NDArray[np.int64]:
        """Number of each place's block of ``BLOCK_DEGREES`` x ``BLOCK_DEGREES`` degrees, (P,)."""
        rows, cols = (
            np.floor((self.lat + 90) / BLOCK_DEGREES),
            np.floor((self.lon + 180) / BLOCK_DEGREES),
        )
        return (rows * np.ceil(360 / BLOCK_DEGREES) + cols).astype(np.int64)


def load_points(folder: Path) -> Points:
    """Read and clean the L2A points in ``POINTS_FILE`` of a folder."""
    table = pyarrow.parquet.read_table(folder / POINTS_FILE)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    spectra = np.stack([columns[band] for band in BANDS], 1).astype(np.float32)
    canada = columns["source"] == "canada"
    month = np.where(canada, columns["step"] - 1, (columns["step"] + 9) % 12)
    keys = np.stack([columns["lat"], columns["lon"], canada], 1)
    places, first_row, block_of_place = np.unique(
        keys, axis=0, return_index=True, return_inverse=True
    )
    ids = {code: NAMES.index(name) for code, name in CROSSWALK.items()}
    label = np.array([ids[code] for code in columns["worldcover"].tolist()], np.uint8)
    snow = is_snow(spectra)
    water = label == WATER
    keep = is_clear(spectra, water=water) & (~water | is_wet(spectra))
    planes = []
    for rows in (keep & ~snow, keep & snow):
        plane = np.full((len(places), 12, len(BANDS)), np.nan, np.float32)
        plane[block_of_place.ravel()[rows], month[rows]] = spectra[rows]
        planes.append(plane)
    weight = np.where(places[:, 2] > 0, CANADA_WEIGHT, 1.0)
    return Points(places[:, 0], places[:, 1], label[first_row], weight, *planes)


def is_snow(spectra: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which spectra (N, 11) show ground under snow: bright, but dark in the short-wave infrared.

    NDSI above 0.45 is the usual test (Hall et al. 1995 use 0.4); the other tests exclude water and
    ice clouds. Comparisons with NaN are false.
    """
    return (
        (_ndsi(spectra) > 0.45)
        & (_band(spectra, "B08") > 2500)
        & (_band(spectra, "B11") < 2500)
        & (_band(spectra, "B02") > 2500)
    )


def is_clear(spectra: NDArray[np.float32], *, water: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which spectra (N, 11) show the ground: no cloud, no thin snow, nothing saturated."""
    snow, blue = is_snow(spectra), _band(spectra, "B02")
    optical = spectra[:, : len(S2_BANDS)]
    cloud = (blue > 2200) & ~snow
    thin = (_ndsi(spectra) > 0.2) & ~snow & ~water & (blue > 1200)
    return np.isfinite(optical).all(1) & (optical.max(1) <= 16000) & ~cloud & ~thin


def is_wet(spectra: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which spectra (N, 11) may show water: not clearly soil, sand, plants, clouds or ice.

    MNDWI (Xu 2006), another name for NDSI, must be above -0.1: open water is above 0, muddy water a
    little below. Even muddy water is dark in the short-wave infrared; thin clouds and glint are
    not, and they were a quarter of the lakes' samples.
    """
    return (_ndsi(spectra) > -0.1) & (_band(spectra, "B11") < MAX_WATER_B11_DN)


def _band(spectra: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    return spectra[:, BANDS.index(name)]


def _ndsi(spectra: NDArray[np.float32]) -> NDArray[np.float32]:
    green, infrared = _band(spectra, "B03"), _band(spectra, "B11")
    return (green - infrared) / (green + infrared)


def folds_of(points: Points) -> NDArray[np.int64]:
    """The fold of each place, (P,): whole blocks, so that every class is in every fold.

    Blocks with the rarest classes are assigned first, each to the fold with the least of its
    classes. The result does not depend on the order of the places.
    """
    blocks, block_of_place = np.unique(points.block, return_inverse=True)
    held_out = np.zeros((len(blocks), len(NAMES)))
    np.add.at(held_out, (block_of_place, points.label), points.weight)
    # otherwise the few crowded blocks outweigh all small ones, which would end up in one fold
    held_out = np.sqrt(held_out)
    rarity = held_out / np.maximum(held_out.sum(0), 1e-9)
    totals = np.zeros((N_FOLDS, len(NAMES)))
    fold = np.zeros(len(blocks), np.int64)
    for block in np.argsort(-rarity.sum(1), kind="stable"):
        fold[block] = np.argmin((totals * (rarity[block] > 0)).sum(1) + 1e-3 * totals.sum(1))
        totals[fold[block]] += rarity[block]
    return fold[block_of_place]


def far_from(points: Points, held_out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which places lie at least ``MIN_DEGREES_APART`` from every held-out place, (P,)."""
    place = _unit(points)
    is_far = np.ones(len(points), np.bool_)
    nearest = np.cos(np.radians(MIN_DEGREES_APART))
    for start in range(0, len(points), 512):  # in parts: all pairs at once are 170 MB
        part = slice(start, start + 512)
        is_far[part] = (place[part] @ place[held_out].T < nearest).all(1)
    return is_far


def split_points(points: Points, fold: int | None, *, validation: bool = True) -> dict[str, Points]:
    """Split the points into training, validation and test points.

    Args:
        points: all points.
        fold: fold to test on; the next fold is the validation. None holds nothing out.
        validation: whether the next fold is held out too; if not, it trains.

    Returns:
        Points by split, ``"train"``, ``"validation"`` and ``"test"``, at least
        ``MIN_DEGREES_APART`` degrees apart; places in between are in none. Only ``"train"`` if
        nothing is held out, no ``"validation"`` if that is not wanted.

    """
    if fold is None:
        return {"train": points}
    if not validation:
        train, test = held_out_points(points, fold)
        return {"train": train, "test": test}
    folds = folds_of(points)
    test = folds == fold
    near = (folds == (fold + 1) % N_FOLDS) & far_from(points, test)
    train = ~test & (folds != (fold + 1) % N_FOLDS) & far_from(points, test | near)
    return {
        "train": points[train],
        "validation": points[near],
        "test": points[test],
    }


def held_out_points(points: Points, fold: int = HELD_OUT_FOLD) -> tuple[Points, Points]:
    """Points that train, and those of one fold, ``MIN_DEGREES_APART`` from them."""
    held_out = folds_of(points) == fold
    return points[~held_out & far_from(points, held_out)], points[held_out]


def _unit(points: Points) -> NDArray[np.float64]:
    lat, lon = np.radians(points.lat), np.radians(points.lon)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
