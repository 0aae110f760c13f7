"""Parts of new scenes that are told by eye, against the teacher: ``told.csv``.

Chesapeake's salt marsh is plain to see, and the teacher calls it water, trees or snow. Its boxes
hold nothing but marsh and channels, which B11 tells apart; what is between the two stays unknown.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES, NODATA
from recipes.real_land.real_scenes import RealScene
from recipes.real_land.usable import SWIR

TOLD_CSV = Path(__file__).parent / "told.csv"
"""Boxes in the pixels of a place's part, and the range of B11 of a class in them, DN."""


def told(scene: RealScene) -> NDArray[np.uint8]:
    """Classes of a scene that are told by eye, (H, W), 255 elsewhere."""
    ids = np.full(scene.s2.shape[1:], NODATA, np.uint8)
    with TOLD_CSV.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["place"] != scene.place.place:
                continue
            box = np.s_[int(row["top"]) : int(row["bottom"]), int(row["left"]) : int(row["right"])]
            infrared = scene.s2[SWIR][box]
            fits = (infrared >= int(row["darkest"])) & (infrared <= int(row["brightest"]))
            ids[box][fits] = NAMES.index(row["map_class"])
    return ids
