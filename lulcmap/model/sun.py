"""The sun over windows, for a model whose contract names its zenith."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

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


def given_zeniths(zeniths: Sequence[float | None]) -> NDArray[np.float32]:
    """(N,) the sun's zenith as a model takes it, degrees: ``NO_S2_SUN_ZENITH`` for None."""
    known = [NO_S2_SUN_ZENITH if zenith is None else zenith for zenith in zeniths]
    return np.array(known, np.float32)


def zenith_range(zeniths: Iterable[float | None]) -> tuple[float, float] | None:
    """The smallest and the largest zenith that is known, degrees; None if none is."""
    known = [zenith for zenith in zeniths if zenith is not None]
    return (min(known), max(known)) if known else None
