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

from lulcmap.geo import ZONE_BLEND_M, distance_to_zone, pixel_degrees, point_degrees
from lulcmap.legend import NODATA

CLASS, CONFIDENCE = 1, 2
"""Bands of a block file."""

_COARSE_PX = 32
"""Pixels between the places at which a border is looked for."""

_COARSE_MARGIN_M = 500.0
"""Metres; no pixel is further from such a place."""


class Zone(Protocol):
    """What was mapped in one UTM zone."""

    @property
    def epsg(self) -> int:
        """Of the zone."""

    def values(self, grid: GeoBox, mask: NDArray[np.bool_], *, band: int) -> NDArray[np.uint8]:
        """The (N,) values of the pixels of a grid where the mask is True; 255 where none is."""


def blend_zones(classes: NDArray[np.uint8], zones: Sequence[Zone], grid: GeoBox) -> None:
    """Near a border of zones, put in the class of the surer one.

    Args:
        classes: (H, W) each of the zone its centre lies in; 255, which stays, where that has none.
        zones: that may reach the grid.
        grid: (H, W), north-up.

    """
    found = _near_a_border(zones, grid) if len(zones) > 1 else None
    if found is None:
        return
    near, part = found
    grid, classes = grid[part], classes[part]
    rows, cols = np.nonzero(classes != NODATA)
    lon, lat = pixel_degrees(grid)[:, rows, cols]
    away = np.stack([distance_to_zone(zone.epsg, lon, lat) for zone in near])
    own = away.argmin(axis=0)
    others = np.where(np.arange(len(near))[:, None] == own, np.inf, away).min(axis=0)
    joint = (away.min(axis=0) == 0) & (others < ZONE_BLEND_M)
    rows, cols, own, others = rows[joint], cols[joint], own[joint], others[joint]
    away = away[:, joint]
    best = np.zeros(rows.size)
    for number, zone in enumerate(near):
        signed = np.where(own == number, others, -away[number])
        mine = signed > -ZONE_BLEND_M
        mask = np.zeros(grid.shape, bool)
        mask[rows[mine], cols[mine]] = True
        # a mask's pixels come row by row, and so do these
        classed = zone.values(grid, mask, band=CLASS)
        sure = zone.values(grid, mask, band=CONFIDENCE).astype(float) + 1
        weight = np.sin(np.pi / 4 * (1 + np.minimum(signed[mine] / ZONE_BLEND_M, 1))) ** 2
        say = np.where(classed == NODATA, 0, weight * sure)
        better = say > best[mine]
        chosen = np.flatnonzero(mine)[better]
        best[chosen] = say[better]
        classes[rows[chosen], cols[chosen]] = classed[better]


def _near_a_border(
    zones: Sequence[Zone], grid: GeoBox
) -> tuple[list[Zone], tuple[slice, slice]] | None:
    """The zones that meet on a grid or beside it, and the rows and columns where they do."""
    height, width = grid.shape
    rows, cols = (np.append(np.arange(0, size, _COARSE_PX), size - 1) for size in (height, width))
    lon, lat = point_degrees(grid, *np.meshgrid(rows, cols, indexing="ij"))
    close = np.stack(
        [distance_to_zone(zone.epsg, lon, lat) < ZONE_BLEND_M + _COARSE_MARGIN_M for zone in zones]
    )
    meet = close.sum(axis=0) > 1
    if not meet.any():
        return None
    near = [zone for zone, reached in zip(zones, close, strict=True) if reached[meet].any()]
    down, across = rows[meet.any(axis=1)], cols[meet.any(axis=0)]
    return near, (_around(down, height), _around(across, width))


def _around(knots: NDArray[np.int64], size: int) -> slice:
    return slice(max(int(knots[0]) - _COARSE_PX, 0), min(int(knots[-1]) + _COARSE_PX, size))
