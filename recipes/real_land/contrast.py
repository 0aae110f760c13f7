"""How much neighbours differ: in the archive's scenes, and in landscapes as they are made now.

    python -m recipes.real_land.contrast --data ../shared/data

What ``sensor.TEXTURE``, ``BY_BAND``, ``NOISE`` and ``LOOKS`` were set by. Deviations within 7 x 7
pixels, of the logarithm of reflectance and of decibels: the smoothest tenth and the median of a
scene, then the median over all. Quilts are left out.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from lulcmap.sensors import S1_NODATA
from recipes.real_land import points as real
from recipes.real_land.generator import Generator
from recipes.real_land.points import BANDS
from recipes.real_land.scenes import interpreted_scenes, load_textures

WINDOW_PX = 7
"""Pixels a side."""

N_LANDSCAPES = 60

QUANTILES = (0.1, 0.5)
"""Quantiles over a scene. The smooth end counts by itself: a network takes for special what is
smoother than all that it saw."""


def local_contrast(s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.float64]:
    """(2, 11) deviation of each band among neighbours, smooth and median; NaN for radar with gaps.

    Args:
        s2: (9, H, W) DN.
        s1: (2, H, W) hundredths of a decibel.

    """
    level = np.log(np.maximum(s2, 30).astype(np.float64))
    radar = np.where(s1 == S1_NODATA, np.nan, s1 / 100.0)
    return np.stack([np.quantile(_deviation(plane), QUANTILES) for plane in (*level, *radar)], 1)


def _deviation(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    mean, square = (uniform_filter(plane**power, WINDOW_PX) for power in (1, 2))
    edge = WINDOW_PX // 2
    within: NDArray[np.float64] = np.sqrt(np.maximum(square - mean**2, 0))
    return within[edge:-edge, edge:-edge]


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="with points/ and archive/")
    options = parser.parse_args()
    archive = options.data / "archive"
    seen = [local_contrast(scene.s2, scene.s1) for scene in interpreted_scenes(archive)]
    generator = Generator(
        real.load_points(options.data / "points"), load_textures(archive), quilts=0
    )
    landscapes = [generator.landscape(number) for number in range(N_LANDSCAPES)]
    made = [local_contrast(landscape.s2, landscape.s1) for landscape in landscapes]
    real_ones, made_ones = np.nanmedian(seen, 0), np.median(made, 0)
    for number, band in enumerate(BANDS):
        scenes, mine = (
            "{:.3f} and {:.3f}".format(*rows[:, number]) for rows in (real_ones, made_ones)
        )
        print(f"{band} smoothest tenth and median: {scenes} in scenes, {mine} in landscapes")


if __name__ == "__main__":
    main()
