"""Surface reflectance to the top of the atmosphere and back, for the teacher.

::

    rho_toa = Tg (rho_path + T rho / (1 - S rho))

for each band, from a table of 6SV 1.1 (continental aerosol, sea level), ``TABLE_FILE`` of the
data's folder ``teacher``. Values are interpolated in the air mass of the sun, in AOT and in the
root of the water vapour.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

TABLE_FILE = "atmosphere-6sv.npz"

AOT = 0.1
"""Aerosol optical thickness at 550 nm of every label; a mean over several is no better."""


@dataclass(frozen=True, slots=True)
class Sky:
    """What decides the path of light over a scene."""

    sun_zenith: float
    """Zenith angle of the sun, degrees."""

    water_vapour: float = 1.5
    """Precipitable water, cm."""

    ozone: float = 0.3
    """Ozone, cm-atm."""

    @classmethod
    def over(cls, sun_zenith: float, lat: float, month: int) -> "Sky":
        """The sky over a latitude in a month, 1 to 12, of a rough climate."""
        north = np.sign(lat) if lat else 1
        summer = -np.cos(2 * np.pi * (month - 1) / 12) * north
        vapour = 4.5 - 0.065 * abs(lat) + 0.9 * summer * min(abs(lat) / 35, 1)
        return cls(sun_zenith, float(np.clip(vapour, 0.3, 5.5)), 0.26 + 0.0014 * abs(lat))


class Atmosphere:
    """The table, read once."""

    def __init__(self, teacher_folder: Path) -> None:
        with np.load(teacher_folder / TABLE_FILE) as file:
            self._table = {name: file[name] for name in file.files}

    def to_toa(self, dn: NDArray[np.generic], sky: Sky) -> NDArray[np.float32]:
        """DN of L1C from DN of L2A without offset, both (9, H, W); what is 0 becomes path light."""
        path, gain, albedo = self._parameters(sky)
        surface = np.clip(dn.astype(np.float32), 1, 20000) / 1e4
        return (1e4 * (path + gain * surface / (1 - albedo * surface))).astype(np.float32)

    def to_surface(self, toa: NDArray[np.generic], sky: Sky) -> NDArray[np.float32]:
        """DN of L2A from DN of L1C, both (9, H, W)."""
        path, gain, albedo = self._parameters(sky)
        lit = (toa.astype(np.float32) / 1e4 - path) / gain
        return (1e4 * np.clip(lit / (1 + albedo * lit), 1e-4, 2)).astype(np.float32)

    def _parameters(self, sky: Sky) -> tuple[NDArray[np.float32], ...]:
        """Path reflectance (with gas), gain and spherical albedo of each band, (9, 1, 1)."""
        table = self._table
        sun, sun_step = _between(_air_mass(min(sky.sun_zenith, 80)), _air_mass(table["SZA"]))
        haze, haze_step = _between(AOT, table["AOT"])
        light = _mixed(
            _mixed(table["T"][:, sun, haze], table["T"][:, sun, haze + 1], haze_step),
            _mixed(table["T"][:, sun + 1, haze], table["T"][:, sun + 1, haze + 1], haze_step),
            sun_step,
        )
        low, low_step = _between(_air_mass(min(sky.sun_zenith, 78)), _air_mass(table["SZW"]))
        wet, wet_step = _between(float(np.sqrt(sky.water_vapour)), np.sqrt(table["WV"]))
        vapour = _mixed(
            _mixed(table["W"][:, low, wet], table["W"][:, low, wet + 1], wet_step),
            _mixed(table["W"][:, low + 1, wet], table["W"][:, low + 1, wet + 1], wet_step),
            low_step,
        )
        ozone = _mixed(table["O"][:, low], table["O"][:, low + 1], low_step) ** (sky.ozone / 0.30)
        other = _mixed(table["G"][:, low], table["G"][:, low + 1], low_step)
        gas = ozone * other
        values = (light[:, 0] * gas * np.sqrt(vapour), light[:, 1] * gas * vapour, light[:, 2])
        return tuple(value[:, None, None].astype(np.float32) for value in values)


def _air_mass(zenith: NDArray[np.floating] | float) -> NDArray[np.floating]:
    return 1 / np.cos(np.radians(np.asarray(zenith, float)))


def _between(value: NDArray[np.floating] | float, grid: NDArray[np.floating]) -> tuple[int, float]:
    """Index of the grid value below, and the share of the step to the next."""
    inside = float(np.clip(value, grid[0], grid[-1]))
    below = int(np.clip(np.searchsorted(grid, inside) - 1, 0, len(grid) - 2))
    return below, float((inside - grid[below]) / (grid[below + 1] - grid[below]))


def _mixed(
    one: NDArray[np.floating], other: NDArray[np.floating], share: float
) -> NDArray[np.floating]:
    return (1 - share) * one + share * other
