"""The real samples: Sentinel-2 L2A pixels with a WorldCover class, cleaned, and their folds.

Of 1,000 places world-wide and 3,619 in Canada, one pixel each, a spectrum a month. What is done to
them, and why:

- WorldCover's classes become Dynamic World's (``CROSSWALK``).
- A label is of a year, a spectrum of a day. Snow (``is_snow``) is relabelled, clouds and thin snow
  are dropped, and so are spectra of water that are of dry ground: a lake's bed, a wet field.
- Canadian places are many and mostly fields of one region: each counts ``CANADA_WEIGHT`` of another.
- Steps are calendar months in Canada and months from October on elsewhere: the files do not say so,
  but crops of the northern hemisphere are greenest, and snow is most common, only then in step with
  each other.

The L1C points that lie beside these (top of atmosphere, labelled by Dynamic World itself) are never
read here: their reflectances are others, and a model must not see both unless it is told which is
which. They could teach a model of L1C images, or measure how far the two legends disagree.
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
"""WorldCover's codes and the Dynamic World class each is taken for; moss and lichen (100) is none
of them."""

SNOW = NAMES.index("snow_and_ice")
WATER = NAMES.index("water")

CANADA_WEIGHT = 0.2
"""What a Canadian place counts, beside 1 elsewhere."""

MAX_WATER_B11_DN = 700
"""B11 of what is no longer taken for water, DN."""

BLOCK_DEGREES = 8.0
"""Degrees a side of what is held out together."""

N_FOLDS = 5

MIN_DEGREES_APART = 2.0
"""Degrees of arc that places to learn from keep from places to be tested on."""


@dataclass(frozen=True)
class Points:
    """Places and what was seen there, a month at a time."""

    lat: NDArray[np.float64]
    """(P,) degrees."""

    lon: NDArray[np.float64]
    """(P,) degrees."""

    label: NDArray[np.uint8]
    """(P,) Dynamic World's ids."""

    weight: NDArray[np.float64]
    """(P,) what a place counts: 1, or ``CANADA_WEIGHT``."""

    clear: NDArray[np.float32]
    """(P, 12, 11) DN and decibels, January first; NaN where nothing clear was seen."""

    snowy: NDArray[np.float32]
    """(P, 12, 11) as ``clear``, of the months under snow."""

    def __len__(self) -> int:
        return len(self.lat)

    def __getitem__(self, chosen: NDArray[np.bool_]) -> Self:
        """Some of the places."""
        return type(self)(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @property
    def block(self) -> NDArray[np.int64]:
        """(P,) number of the ``BLOCK_DEGREES`` x ``BLOCK_DEGREES`` degrees each place lies in."""
        rows, cols = (
            np.floor((self.lat + 90) / BLOCK_DEGREES),
            np.floor((self.lon + 180) / BLOCK_DEGREES),
        )
        return (rows * np.ceil(360 / BLOCK_DEGREES) + cols).astype(np.int64)


def load_points(folder: Path) -> Points:
    """The cleaned L2A points of a folder that holds ``POINTS_FILE``."""
    table = pyarrow.parquet.read_table(folder / POINTS_FILE)
    columns = {name: table[name].to_numpy() for name in table.column_names}
    seen = np.stack([columns[band] for band in BANDS], 1).astype(np.float32)
    canada = columns["source"] == "canada"
    month = np.where(canada, columns["step"] - 1, (columns["step"] + 9) % 12)
    keys = np.stack([columns["lat"], columns["lon"], canada], 1)
    places, first, of = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    ids = {code: NAMES.index(name) for code, name in CROSSWALK.items()}
    label = np.array([ids[code] for code in columns["worldcover"].tolist()], np.uint8)
    snow = is_snow(seen)
    water = label == WATER
    keep = is_clear(seen, water=water) & (~water | is_wet(seen))
    planes = []
    for chosen in (keep & ~snow, keep & snow):
        plane = np.full((len(places), 12, len(BANDS)), np.nan, np.float32)
        plane[of.ravel()[chosen], month[chosen]] = seen[chosen]
        planes.append(plane)
    weight = np.where(places[:, 2] > 0, CANADA_WEIGHT, 1.0)
    return Points(places[:, 0], places[:, 1], label[first], weight, *planes)


def is_snow(seen: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which spectra (N, 11) are of ground under snow: bright, and dark in the short-wave infrared.

    NDSI above 0.45 is the usual test (Hall et al. 1995 take 0.4); the others keep water and ice
    clouds out. Comparisons with NaN are false.
    """
    return (
        (_ndsi(seen) > 0.45)
        & (_band(seen, "B08") > 2500)
        & (_band(seen, "B11") < 2500)
        & (_band(seen, "B02") > 2500)
    )


def is_clear(seen: NDArray[np.float32], *, water: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which spectra (N, 11) show the ground alone: no cloud, no thin snow, nothing saturated."""
    snow, blue = is_snow(seen), _band(seen, "B02")
    optical = seen[:, : len(S2_BANDS)]
    cloud = (blue > 2200) & ~snow
    thin = (_ndsi(seen) > 0.2) & ~snow & ~water & (blue > 1200)
    return np.isfinite(optical).all(1) & (optical.max(1) <= 16000) & ~cloud & ~thin


def is_wet(seen: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which spectra (N, 11) may be of water: not plainly of soil, sand, plants, clouds or ice.

    MNDWI (Xu 2006), which is NDSI by another name, above -0.1: open water is above 0, and muddy
    water little below. Water however muddy is dark in the short-wave infrared; thin clouds over it
    are not, nor is glint, and they were a quarter of the lakes' samples.
    """
    return (_ndsi(seen) > -0.1) & (_band(seen, "B11") < MAX_WATER_B11_DN)


def _band(seen: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    return seen[:, BANDS.index(name)]


def _ndsi(seen: NDArray[np.float32]) -> NDArray[np.float32]:
    green, infrared = _band(seen, "B03"), _band(seen, "B11")
    return (green - infrared) / (green + infrared)


def folds_of(points: Points) -> NDArray[np.int64]:
    """(P,) the fold of each place: whole blocks, dealt out so that every class is in every fold.

    Blocks with the rarest classes are dealt first, each to the fold that has least of what it
    holds. Only the places decide, not their order.
    """
    blocks, of = np.unique(points.block, return_inverse=True)
    held = np.zeros((len(blocks), len(NAMES)))
    np.add.at(held, (of, points.label), points.weight)
    # else the few crowded blocks would outweigh all lone ones, which would end in one fold
    held = np.sqrt(held)
    rarity = held / np.maximum(held.sum(0), 1e-9)
    totals = np.zeros((N_FOLDS, len(NAMES)))
    fold = np.zeros(len(blocks), np.int64)
    for block in np.argsort(-rarity.sum(1), kind="stable"):
        fold[block] = np.argmin((totals * (rarity[block] > 0)).sum(1) + 1e-3 * totals.sum(1))
        totals[fold[block]] += rarity[block]
    return fold[of]


def far_from(points: Points, held: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(P,) which places lie at least ``MIN_DEGREES_APART`` degrees of arc from every held-out one."""
    place = _unit(points)
    far = np.ones(len(points), np.bool_)
    nearest = np.cos(np.radians(MIN_DEGREES_APART))
    for start in range(0, len(points), 512):  # a part at a time: all pairs are 170 MB
        part = slice(start, start + 512)
        far[part] = (place[part] @ place[held].T < nearest).all(1)
    return far


def split_points(points: Points, fold: int | None) -> dict[str, Points]:
    """Points to learn from, to fit the temperature on, and to test on when a fold is held out.

    Args:
        points: all of them.
        fold: that is tested on; the temperature is fitted on the next one. None holds nothing out.

    Returns:
        ``"train"``, ``"validation"`` and ``"test"``; no two of a pair nearer than ``MIN_DEGREES_APART``
        degrees. Places between are in none. Only ``"train"`` where nothing is held out.

    """
    if fold is None:
        return {"train": points}
    folds = folds_of(points)
    test = folds == fold
    validation = (folds == (fold + 1) % N_FOLDS) & far_from(points, test)
    train = ~test & (folds != (fold + 1) % N_FOLDS) & far_from(points, test | validation)
    return {
        "train": points[train],
        "validation": points[validation],
        "test": points[test],
    }


def _unit(points: Points) -> NDArray[np.float64]:
    lat, lon = np.radians(points.lat), np.radians(points.lon)
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], 1)
