"""The windows of a composite, as the network is shown them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.geo import Box
from lulcmap.model.contract import SUN_ZENITH, Contract
from lulcmap.model.mirror import mirrored
from lulcmap.model.sun import given_zeniths, window_zenith
from lulcmap.sensors import S1_BANDS, S2_BANDS


class Windows:
    """The windows of a composite that have a usable pixel. Threads may share them.

    A window without any counts as logits of zero and is not run. Its pixels are the same for every
    block that needs it, so all blocks skip it alike.

    Args:
        contract: contract of the network.
        s2: (9, H, W) composite over ``over``: DN, bands as ``S2_BANDS``; 0 nodata.
        s1: (2, H, W) composite over ``over``: hundredths of a decibel, VV and VH; -32768 nodata.
        over: box of the composites; contains every window.
        windows: the windows.
        sun: (H, W) mean zenith of the sun over ``over``, hundredths of a degree, ``NO_SUN`` without
            Sentinel-2; for a contract that names ``sun_zenith``.

    Attributes:
        usable: (H, W) True where the network sees a pixel of the composite.
        filled: the windows with a usable pixel, row by row.
        zeniths: their mean zenith of the sun, degrees; None in one without Sentinel-2, and in all
            if the contract names none.

    """

    def __init__(
        self,
        contract: Contract,
        *,
        s2: NDArray[np.uint16],
        s1: NDArray[np.int16],
        over: Box,
        windows: Sequence[Box],
        sun: NDArray[np.uint16] | None = None,
    ) -> None:
        self._composites, self._over = (s2, s1), over
        self.usable = usable = usable_pixels(contract, s2, s1)
        self.filled = [
            window for window in sorted(windows, key=corner) if usable[window.within(over)].any()
        ]
        self._has_sun = SUN_ZENITH in contract.scalars and sun is not None
        self.zeniths: list[float | None] = [None] * len(self.filled)
        if self._has_sun and sun is not None:
            parts = [window.within(over) for window in self.filled]
            self.zeniths = [window_zenith(sun[part], usable[part]) for part in parts]

    def shown(self, start: int, stop: int) -> list[NDArray[Any]]:
        """What the network takes for some of the filled windows: (n, 9, h, w), (n, 2, h, w), (n,).

        The last, the sun's zenith in degrees, is there only if the contract names it.
        """
        batch = self.filled[start:stop]
        pixels = [_window_pixels(self.usable, window.within(self._over)) for window in batch]
        shown: list[NDArray[Any]] = [
            np.stack([s[:, *at] for at in pixels]) for s in self._composites
        ]
        if self._has_sun:
            shown.append(given_zeniths(self.zeniths[start:stop]))
        return shown


def corner(window: Box) -> tuple[int, int]:
    """First row and column of a window: windows are run and blended in this order."""
    return window.row, window.col


def _window_pixels(
    usable: NDArray[np.bool_], part: tuple[slice, slice]
) -> tuple[slice, slice] | tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Index the pixels to show the network as a window: its own, mirrored where it has no data.

    They all come from inside the window, so every block shows the same.
    """
    valid = usable[part]
    if valid.all():
        return part
    rows, cols = mirrored(valid)
    return rows + part[0].start, cols + part[1].start


def usable_pixels(contract: Contract, s2: NDArray[Any], s1: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (H, W) True where a pixel has every required input and at least one."""
    composites, names = {"s2": s2, "s1": s1}, {"s2": S2_BANDS, "s1": S1_BANDS}
    has_any, lacks_required = np.zeros(s2.shape[1:], bool), np.zeros(s2.shape[1:], bool)
    for name, needed in contract.inputs.items():
        valid = np.ones(has_any.shape, bool)
        for band in needed.bands:  # a pixel without one band is without the input, as in training
            valid &= composites[name][names[name].index(band)] != needed.nodata
        has_any |= valid
        if not needed.optional:
            lacks_required |= ~valid
    return has_any & ~lacks_required
