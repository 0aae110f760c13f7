"""Which pixels of a real scene the teacher can be asked about: no cloud, no low sun, no haze."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_opening

from lulcmap.sensors import S2_BANDS
from recipes.real_land.real_scenes import RealScene

MAX_SUN = 65.0
"""Sun zenith beyond which the teacher takes dark fields for trees and water, degrees."""

CLOUD_BLUE_DN = 2200
"""Blue above which ground without snow is cloud, DN."""

CLOUD_PX, AROUND_CLOUD_PX = 5, 12
"""Least side of a cloud, and how far its haze and shadow reach, pixels."""

HAZY_BLUE_DN = 900
"""Blue of a scene's darkest pixels above which all of it is under haze, DN."""

LEAST_LAND = 0.1
"""Share of a scene without snow and water from which its haze can be told."""

BLUE, GREEN, SWIR = (S2_BANDS.index(band) for band in ("B02", "B03", "B11"))


def clear(scene: RealScene) -> NDArray[np.bool_]:
    """Pixels with data, without cloud, its surroundings or haze, (H, W)."""
    s2 = scene.s2_smooth.astype(np.float32)
    seen = (scene.s2 > 0).all(0)
    snow = snowy(scene.s2)
    ground = seen & ~snow
    is_land = ground.mean() > LEAST_LAND
    if not seen.any() or (is_land and np.quantile(s2[BLUE][ground], 0.02) > HAZY_BLUE_DN):
        return np.zeros_like(seen)
    cloud = binary_opening((s2[BLUE] > CLOUD_BLUE_DN) & ~snow, np.ones((CLOUD_PX, CLOUD_PX)))
    if cloud.any():
        cloud = binary_dilation(cloud, iterations=AROUND_CLOUD_PX)
    return seen & ~cloud


def snowy(s2: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Pixels (H, W) whose green is far above the short-wave infrared: snow, and open water."""
    green, infrared = s2[GREEN].astype(np.float32), s2[SWIR].astype(np.float32)
    return (green - infrared) / np.maximum(green + infrared, 1) >= 0.4
