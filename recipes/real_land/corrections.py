"""What the spectrum of a pixel forbids the teacher to say of it."""

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NAMES
from lulcmap.sensors import S2_BANDS
from recipes.real_land.real_scenes import RealScene
from recipes.real_land.usable import BLUE, SWIR, snowy

SNOW_BLUE_DN = 1500
"""Blue below which nothing is snow, DN."""

SURE_FOREST = 0.65
"""Probability of trees from which a pixel shows how its scene's forests look."""

LEAST_SURE = 200
"""Pixels of sure forest below which nothing is said of a scene's forests."""

BRIGHTEST_FOREST = 0.95
"""Quantile of the sure forest's reflectance that forests hardly exceed."""

LEAST_FOREST, TOO_BRIGHT = 0.2, 0.25
"""Factor of the probability of trees where a pixel is this much brighter than that, or more."""

TREES, SNOW = NAMES.index("trees"), NAMES.index("snow_and_ice")

RED = S2_BANDS.index("B04")


def without_false_snow(
    scene: RealScene, probabilities: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The teacher's probabilities (9, H, W) with snow only where there can be some.

    It calls salt marsh, surf and rests of cloud snow.

    Returns:
        The probabilities, which sum to 1 again; and how much of them is kept, (H, W).

    """
    bright = scene.s2[BLUE] > SNOW_BLUE_DN
    kept = probabilities.copy()
    kept[SNOW] *= snowy(scene.s2) & bright
    share = kept.sum(0)
    return kept / np.maximum(share, 1e-6), share


def without_bright_forest(
    scene: RealScene, probabilities: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The teacher's probabilities (9, H, W) with fewer trees where they would be too bright.

    In autumn it takes green pasture for trees, and it swells woods and hedges over the fields
    beside them. Such pixels are brighter than the scene's forests both in the red and in the
    short-wave infrared.
    """
    sure = probabilities[TREES] >= SURE_FOREST
    if sure.sum() < LEAST_SURE:
        return probabilities
    excess = np.full(sure.shape, np.inf, np.float32)
    for band in (RED, SWIR):
        brightest = np.quantile(scene.s2[band][sure], BRIGHTEST_FOREST)
        excess = np.minimum(excess, scene.s2[band] / max(brightest, 1) - 1)
    kept = probabilities.copy()
    kept[TREES] *= 1 - (1 - LEAST_FOREST) * (excess / TOO_BRIGHT).clip(0, 1)
    darker: NDArray[np.float32] = kept / np.maximum(kept.sum(0), 1e-6)
    return darker
