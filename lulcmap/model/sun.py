"""The sun over windows, for a model whose contract names its zenith."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Box
from lulcmap.model.contract import NO_S2_SUN_ZENITH
from lulcmap.sensors import NO_SUN


def window_zenith(sun: NDArray[np.uint16], usable: NDArray[np.bool_]) -> float | None:
    """Mean zenith of the sun over the pixels of a window, degrees; None without Sentinel-2.

    Whole numbers are summed, so that a window has the same bits in every block. Mirrored pixels
    are copies of these and do not count.

    Args:
        sun: (H, W) zenith in each pixel, hundredths of a degree; ``NO_SUN`` without Sentinel-2.
        usable: (H, W) True where the model sees the pixel.

    """
    seen = sun[usable & (sun != NO_SUN)]
    return int(seen.sum(dtype=np.int64)) / (100 * seen.size) if seen.size else None


def zeniths_of(
    windows: Sequence[Box], sun: NDArray[np.uint16], usable: NDArray[np.bool_], over: Box
) -> tuple[NDArray[np.float32], tuple[float, float] | None]:
    """The sun's zenith as a model takes it.

    Args:
        windows: the windows.
        sun: (H, W) of ``over``, as of ``window_zenith``.
        usable: (H, W) of ``over``, likewise.
        over: box around the windows.

    Returns:
        (N,) degrees, ``NO_S2_SUN_ZENITH`` in a window without Sentinel-2; the smallest and the
        largest of the others, or None.

    """
    parts = [window.within(over) for window in windows]
    means = [window_zenith(sun[part], usable[part]) for part in parts]
    known = [mean for mean in means if mean is not None]
    filled = [NO_S2_SUN_ZENITH if mean is None else mean for mean in means]
    return np.array(filled, np.float32), (min(known), max(known)) if known else None
