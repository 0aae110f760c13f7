"""Clouds, their shadows and haze."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lulcmap.simulation.noise import fractal
from lulcmap.system import compiled


@dataclass(frozen=True, slots=True)
class Atmosphere:
    """The atmosphere on one day, on the 20 m grid: arrays (ceil(H / 2), ceil(W / 2)) float32."""

    cloud: NDArray[np.float32]
    """Share of the light that comes from the cloud, 0 to 1."""

    shadow: NDArray[np.float32]
    """Share of the light that a cloud blocks, 0 to 1."""

    haze: NDArray[np.float32]
    """Haze in B02, DN; weaker at longer wavelengths."""


_SHADOW_OFFSET_PX = 16, 12
"""Offset of a shadow from its cloud, 20 m pixels north and west: the sun is in the south-east."""


def make_atmosphere(
    key: np.uint64, shape: tuple[int, int], *, cloud: float, haze: float
) -> Atmosphere:
    """Simulate the atmosphere over a country on one day.

    Args:
        key: random bits of the day.
        shape: height and width of the country, 10 m pixels.
        cloud: share of the country under cloud, 0 to 1.
        haze: mean haze in B02, DN.

    """
    rows, cols = -(-shape[0] // 2), -(-shape[1] // 2)
    field = _cloud_field(key, rows + _SHADOW_OFFSET_PX[0], cols + _SHADOW_OFFSET_PX[1])
    level = np.quantile(field[:rows:4, :cols:4], 1 - cloud) if cloud > 0 else np.inf
    thickness = np.clip((field - level) / np.float32(0.5), 0, 1)
    cloud_share, shadow = (
        np.sqrt(thickness[:rows, :cols]),
        thickness[_SHADOW_OFFSET_PX[0] :, _SHADOW_OFFSET_PX[1] :],
    )
    haze_dn = _haze_field(key, rows, cols, haze) if haze else np.zeros((rows, cols), np.float32)
    return Atmosphere(cloud_share, shadow * (1 - cloud_share), haze_dn)


@compiled
def _cloud_field(key: np.uint64, rows: int, cols: int) -> NDArray[np.float32]:
    out = np.empty((rows, cols), np.float32)
    for i in range(rows):
        for j in range(cols):
            out[i, j] = fractal(key, float(i), float(j), 75.0, 5)
    return out


@compiled
def _haze_field(key: np.uint64, rows: int, cols: int, haze: float) -> NDArray[np.float32]:
    out = np.empty((rows, cols), np.float32)
    for i in range(rows):
        for j in range(cols):
            out[i, j] = haze * max(0.0, 1 + 0.6 * fractal(key, float(i), float(j), 140.0, 2))
    return out
