"""Measure the local contrast of the archive's scenes and of the landscapes as made now.

    python -m recipes.real_land.contrast --data ../shared/data

``sensor.TEXTURE``, ``TEXTURE_BY_BAND``, ``NOISE_RANGE`` and ``LOOKS_RANGE`` were set by this. It is
the deviation within 7 x 7 pixels of the logarithm of reflectance and of decibels: the smoothest
tenth and the median of a scene, then the median over all scenes. Quilts are left out.
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
"""Side of the window, pixels."""

N_LANDSCAPES = 60
"""Number of landscapes to measure."""

QUANTILES = (0.1, 0.5)
"""Quantiles over a scene. The smooth end has its own: to a network, anything smoother than all its
training data is special."""


def local_contrast(s2: NDArray[np.uint16], s1: NDArray[np.int16]) -> NDArray[np.float64]:
    """Deviation of each band among neighbours, smooth and median, (2, 11); NaN for radar with gaps.

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
    """Measure and print both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with points/ and archive/")
    options = parser.parse_args()
    archive = options.data / "archive"
    of_scenes = [local_contrast(scene.s2, scene.s1) for scene in interpreted_scenes(archive)]
    generator = Generator(
        real.load_points(options.data / "points"), load_textures(archive), quilts=0
    )
    landscapes = [generator.landscape(number) for number in range(N_LANDSCAPES)]
    of_landscapes = [local_contrast(landscape.s2, landscape.s1) for landscape in landscapes]
    in_scenes, in_landscapes = np.nanmedian(of_scenes, 0), np.median(of_landscapes, 0)
    for number, band in enumerate(BANDS):
        scenes, generated = (
            "{:.3f} and {:.3f}".format(*rows[:, number]) for rows in (in_scenes, in_landscapes)
        )
        print(f"{band} smoothest tenth and median: {scenes} in scenes, {generated} in landscapes")


if __name__ == "__main__":
    main()
