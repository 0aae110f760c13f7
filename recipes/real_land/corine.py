"""What CORINE's classes of an image allow: a weak check of maps, and a weak prior of labels.

An image label names what is somewhere in the patch, in polygons of 25 ha or more; hedges, farms and
ponds go unnamed.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES

FORESTS = ("Broad-leaved forest", "Coniferous forest", "Mixed forest")

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "Urban fabric": ("built", "grass", "trees"),
    "Industrial or commercial units": ("built", "bare", "grass"),
    "Arable land": ("crops",),
    "Permanent crops": ("crops", "trees", "shrub_and_scrub"),
    "Pastures": ("grass", "crops"),
    "Complex cultivation patterns": ("crops", "grass", "trees", "built"),
    "Land principally occupied by agriculture, with significant areas of natural vegetation": (
        *("crops", "grass", "trees", "shrub_and_scrub"),
    ),
    "Agro-forestry areas": ("trees", "crops", "grass", "shrub_and_scrub"),
    **dict.fromkeys(FORESTS, ("trees",)),
    "Natural grassland and sparsely vegetated areas": ("grass", "shrub_and_scrub", "bare"),
    "Moors, heathland and sclerophyllous vegetation": ("shrub_and_scrub", "grass"),
    "Transitional woodland, shrub": ("trees", "shrub_and_scrub"),
    "Beaches, dunes, sands": ("bare",),
    "Inland wetlands": ("flooded_vegetation", "grass", "shrub_and_scrub"),
    "Coastal wetlands": ("flooded_vegetation",),
    "Inland waters": ("water",),
    "Marine waters": ("water",),
}
"""Classes that each of CORINE's (BigEarthNet's 19) may be in a map, the most usual first."""

SMALL = ("built", "water", "snow_and_ice")
"""Classes that are anywhere without being named: farms, ponds; and snow, which CORINE does not
know."""

FOUND_SHARE = {"built": 0.003}
"""Share of a patch's pixels that makes a class found, where it is not ``FOUND_SHARE_OTHERS``."""

FOUND_SHARE_OTHERS = 0.01


def allowed_ids(names: Iterable[str]) -> list[int]:
    """Ids of the classes that an image's labels allow; snow is always."""
    allowed = {cover for name in names for cover in ALLOWED[name]} | {"snow_and_ice"}
    return sorted(NAMES.index(cover) for cover in allowed)


def share_found(predicted: NDArray[np.uint8], names: Iterable[str]) -> float:
    """Share of an image's labels of which the map has at least one class."""
    shares = np.bincount(predicted.ravel(), minlength=256) / predicted.size
    return float(
        np.mean(
            [
                any(
                    shares[NAMES.index(cover)] >= FOUND_SHARE.get(cover, FOUND_SHARE_OTHERS)
                    for cover in ALLOWED[name][:2]
                )
                for name in names
            ]
        )
    )


def prior(names: Iterable[str], *, others: float) -> NDArray[np.float32]:
    """Factor of each class's probability, (9, 1, 1).

    Args:
        names: CORINE's classes of the image.
        others: factor of classes that none of them allows; ``SMALL`` ones get its root.

    """
    factor = np.full(len(NAMES), others, np.float32)
    factor[[NAMES.index(name) for name in SMALL]] = np.sqrt(others)
    factor[allowed_ids(names)] = 1
    return factor[:, None, None]
