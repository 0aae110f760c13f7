"""Points of Lesotho, with classes, and of all Africa, which say only crops or not.

Both are geomedians of Sentinel-2 alone: two months of 2021 in Lesotho, half years of 2019 in
Africa. Held out are whole blocks of Lesotho (``BLOCK_METRES``) and one region of Africa
(``HELD_OUT_REGION``); Africa's points have no coordinates.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet
from numpy.typing import NDArray

from lulcmap.legend import NAMES
from lulcmap.sensors import S2_BANDS

LESOTHO_FILE, AFRICA_FILE = "l2a_lesotho_points.parquet", "l2a_africa_crop_points.parquet"

LESOTHO_CLASSES = {
    **{1: "built", 2: "crops", 4: "trees", 6: "water", 7: "flooded_vegetation"},
    **{9: "shrub_and_scrub", 10: "grass", 12: "bare", 14: "crops"},
}
"""Dynamic World class of each label of Lesotho."""

BLOCK_METRES = 20_000
"""Side of Lesotho's blocks; one of four, in a pattern of diagonals, is held out."""

HELD_OUT_REGION = "southern"
"""Region of Africa that is held out."""

NOT_CROPS = 254
"""Code of the label set of all classes but crops."""

CROPS = NAMES.index("crops")


@dataclass(frozen=True)
class RegionalPoints:
    """Points with spectra of several periods."""

    s2: NDArray[np.float32]
    """DN, NaN where a period lacks any band, (P, periods, 9)."""

    label: NDArray[np.uint8]
    """Class ids, or ``NOT_CROPS``, (P,)."""

    held_out: NDArray[np.bool_]
    """Whether no training may see the point, (P,)."""

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, rows: NDArray[np.generic]) -> "RegionalPoints":
        """Select points by a mask or by indices."""
        return RegionalPoints(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Whether a period has a spectrum, (P, periods)."""
        return np.asarray(np.isfinite(self.s2).all(2))


def load_lesotho(folder: Path) -> RegionalPoints:
    """Read Lesotho's points: six periods of two months."""
    columns = _columns(folder / LESOTHO_FILE)
    keys = np.stack([columns["x"], columns["y"], columns["label"]], 1)
    places, first, place_of_row = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    spectra = np.full((len(places), 6, len(S2_BANDS)), np.nan, np.float32)
    values = np.stack([columns[band] for band in S2_BANDS], 1).astype(np.float32)
    values[(values <= 0).any(1)] = np.nan
    spectra[place_of_row.ravel(), columns["step"].astype(int)] = values
    ids = [NAMES.index(LESOTHO_CLASSES[int(code)]) for code in columns["label"][first]]
    column, row = (np.floor(places[:, axis] / BLOCK_METRES) for axis in (0, 1))
    return RegionalPoints(spectra, np.array(ids, np.uint8), (column + row) % 4 == 0)


def load_africa(folder: Path) -> RegionalPoints:
    """Read Africa's points: two half years."""
    columns = _columns(folder / AFRICA_FILE)
    spectra = np.stack(
        [np.stack([columns[f"{band}_s{half}"] for band in S2_BANDS], 1) for half in (1, 2)], 1
    ).astype(np.float32)
    spectra[(spectra <= 0).any(2)] = np.nan
    return RegionalPoints(
        spectra,
        np.where(columns["crop"] == 1, CROPS, NOT_CROPS).astype(np.uint8),
        columns["region"] == HELD_OUT_REGION,
    )


def _columns(path: Path) -> dict[str, NDArray[np.generic]]:
    table = pyarrow.parquet.read_table(path)
    return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
