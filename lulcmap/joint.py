"""Where two UTM zones meet: each pixel near the border takes the class of the surer zone.

Zones are composited and classified apart. Where neither is sure their classes differ, and a
straight cut along the border would show as a line. Both are mapped within ``zones.JOINT`` of it;
there a zone's say is its confidence times a weight, which falls from one to nothing across the
border as a raised cosine. Classes are chosen, never averaged.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.legend import NODATA
from lulcmap.lookup import degrees
from lulcmap.zones import JOINT, distance

CLASS, CONFIDENCE = 1, 2
"""Bands of a block file."""

_COARSE = 32
"""Pixels between the places at which a border is looked for."""


class Zone(Protocol):
    """What was mapped in one UTM zone."""

    @property
    def epsg(self) -> int:
        """Of the zone."""

    def values(self, grid: GeoBox, mask: NDArray[np.bool_], *, band: int) -> NDArray[np.uint8]:
        """The (N,) values of the pixels of a grid where the mask is True; 255 where none is."""


def join(classes: NDArray[np.uint8], zones: Sequence[Zone], grid: GeoBox) -> None:
    """Near a border of zones, put in the class of the surer one.

    Args:
        classes: (H, W) each of the zone its centre lies in; 255, which stays, where that has none.
        zones: that may reach the grid.
        grid: (H, W), north-up.

    """
    if len(zones) < 2:
        return
    lon, lat = degrees(grid)
    near = [zone for zone in zones if _reaches(zone, lon, lat)]
    if len(near) < 2:
        return
    rows, cols = np.nonzero(classes != NODATA)
    away = np.stack([distance(zone.epsg, lon[rows, cols], lat[rows, cols]) for zone in near])
    own = away.argmin(axis=0)
    others = np.where(np.arange(len(near))[:, None] == own, np.inf, away).min(axis=0)
    joint = (away.min(axis=0) == 0) & (others < JOINT)
    rows, cols, away, own, others = (
        rows[joint],
        cols[joint],
        away[:, joint],
        own[joint],
        others[joint],
    )
    best = np.zeros(rows.size)
    for number, zone in enumerate(near):
        signed = np.where(own == number, others, -away[number])
        mine = signed > -JOINT
        mask = np.zeros(grid.shape, bool)
        mask[rows[mine], cols[mine]] = True
        # a mask's pixels come row by row, and so do these
        found = zone.values(grid, mask, band=CLASS)
        sure = zone.values(grid, mask, band=CONFIDENCE).astype(float) + 1
        weight = np.sin(np.pi / 4 * (1 + np.minimum(signed[mine] / JOINT, 1))) ** 2
        say = np.where(found == NODATA, 0, weight * sure)
        better = say > best[mine]
        chosen = np.flatnonzero(mine)[better]
        best[chosen] = say[better]
        classes[rows[chosen], cols[chosen]] = found[better]


def _reaches(zone: Zone, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> bool:
    """Whether a zone, or what is joined with it, may have a pixel of a grid."""
    coarse = (slice(None, None, _COARSE),) * 2
    return bool(
        np.nanmin(distance(zone.epsg, lon[coarse], lat[coarse]), initial=np.inf) < 2 * JOINT
    )
