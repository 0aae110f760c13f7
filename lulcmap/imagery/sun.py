"""The sun over the pixels of a composite, for models that take it into account."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lulcmap.catalog import Scene
from lulcmap.geo import overpass_time, solar_zenith
from lulcmap.imagery.kernels import largest_missing
from lulcmap.sensors import NO_SUN, S2_NODATA
from lulcmap.system import compiled

_CHUNK_PX = 256
"""Pixels of a row that are added at once."""


class SunMean:
    """Mean of the sun's zenith over the samples that became a composite.

    Whole hundredths of a degree are summed, so that the mean of a pixel does not depend on the
    grid it is computed in.
    """

    def __init__(self, picks: NDArray[np.uint16], scenes: Sequence[Scene]) -> None:
        height, width = picks.shape[1:]
        self._picks = picks
        self._zeniths = np.array([scene_zenith(scene) for scene in scenes], np.uint16)
        self._total = np.zeros((2 * height, 2 * width), np.uint32)
        self._n = np.zeros((2 * height, 2 * width), np.uint16)

    def add(self, stack: NDArray[np.uint16]) -> None:
        """Add the samples of one band, (slots, H, W), that count in its median."""
        _add_samples(stack, self._picks, self._zeniths, self._total, self._n)

    def mean(self, image: NDArray[np.uint16]) -> NDArray[np.uint16]:
        """(H, W) mean, hundredths of a degree; ``NO_SUN`` where (9, H, W) ``image`` is nodata."""
        n = np.maximum(self._n, 1).astype(np.uint32)
        zenith = (2 * self._total + n) // (2 * n)
        has_data = (self._n > 0) & (image[0] != S2_NODATA)
        return np.where(has_data, zenith, NO_SUN).astype(np.uint16)


def scene_zenith(scene: Scene) -> int:
    """The sun's zenith over a Sentinel-2 scene, hundredths of a degree, 0 to 9000.

    What the item states; else it is computed for the middle of the scene's box at its overpass.
    """
    zenith = scene.sun_zenith
    if zenith is None:
        west, south, east, north = scene.bbox
        lon, lat = (west + east + 360 * (east < west)) / 2, (south + north) / 2
        zenith = float(solar_zenith(overpass_time(scene.acquired, lon, lat), lon, lat))
    return round(100 * min(zenith, 90.0))


@compiled
def _add_samples(
    stack: NDArray[np.uint16],
    picks: NDArray[np.uint16],
    zeniths: NDArray[np.uint16],
    total: NDArray[np.uint32],
    n: NDArray[np.uint16],
) -> None:
    """Add the zenith of each sample that counts in the median of a band.

    Args:
        stack: (slots, H, W) samples; 0 missing.
        picks: (slots, H/2, W/2) number of the scene each sample is from.
        zeniths: zenith by the number of the scene, hundredths of a degree.
        total: (H, W) sums; written.
        n: (H, W) number of summands; written.

    """
    slots, height, width = stack.shape
    missing = np.empty(_CHUNK_PX, np.uint16)
    for y in range(height):
        for start in range(0, width, _CHUNK_PX):
            largest_missing(stack, y, start, missing)
            for slot in range(slots):
                for x in range(start, min(start + _CHUNK_PX, width)):
                    if stack[slot, y, x] > missing[x - start]:
                        total[y, x] += zeniths[picks[slot, y // 2, x // 2]]
                        n[y, x] += 1
