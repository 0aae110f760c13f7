"""Blend two UTM zones: each pixel near their border takes the class of the more confident zone.

Zones are composited and classified separately. Where neither is confident their classes differ, and
a straight cut along the border would show as a line. Both are mapped within ``ZONE_BLEND_M`` of it;
there a zone's score is its confidence times a weight, which falls from 1 to 0 across the border as
a raised cosine. Classes are chosen, never averaged.
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
"""Pixels between the points at which a border is searched for."""

_COARSE_MARGIN_M = 500.0
"""Metres; no pixel is further from the nearest of these points."""


class Zone(Protocol):
    """What was mapped in one UTM zone."""

    @property
    def epsg(self) -> int:
        """EPSG code of the zone."""

    def values(
        self, grid: GeoBox, mask: NDArray[np.bool_], *, bands: Sequence[int]
    ) -> NDArray[np.uint8]:
        """The (B, N) values of a grid's pixels where the mask is True; 255 is nodata."""


def blend_zones(
    classes: NDArray[np.uint8], zones: Sequence[Zone], grid: GeoBox
) -> list[tuple[int, NDArray[np.intp], NDArray[np.intp]]]:
    """Give pixels near a border of zones the class of the more confident zone, in place.

    Args:
        classes: (H, W) classes, each from the zone that the pixel's centre lies in; 255, where that
            zone has none, stays.
        zones: zones that may reach the grid.
        grid: (H, W) grid of the classes, north-up.

    Returns:
        Number of a zone, and rows and columns of the pixels near a border that it gave.

    """
    border = _near_border(zones, grid) if len(zones) > 1 else None
    if border is None:
        return []
    near, part = border
    grid, classes = grid[part], classes[part]
    rows, cols = np.divmod(np.flatnonzero(classes != NODATA), classes.shape[1])
    lon, lat = pixel_degrees(grid)[:, rows, cols]
    away = np.stack([distance_to_zone(zone.epsg, lon, lat) for zone in near])
    own = away.argmin(axis=0)
    others = np.where(np.arange(len(near))[:, None] == own, np.inf, away).min(axis=0)
    blended = (away.min(axis=0) == 0) & (others < ZONE_BLEND_M)
    rows, cols, own, others = rows[blended], cols[blended], own[blended], others[blended]
    away = away[:, blended]
    best, giver = np.zeros(rows.size), own.copy()
    for number, zone in enumerate(near):
        signed = np.where(own == number, others, -away[number])
        reached = signed > -ZONE_BLEND_M
        mask = np.zeros(grid.shape, bool)
        mask[rows[reached], cols[reached]] = True
        # values come row by row, in the order of rows and cols
        values, sure = zone.values(grid, mask, bands=[CLASS, CONFIDENCE])
        confidence = sure.astype(float) + 1
        weight = np.sin(np.pi / 4 * (1 + np.minimum(signed[reached] / ZONE_BLEND_M, 1))) ** 2
        score = np.where(values == NODATA, 0, weight * confidence)
        better = score > best[reached]
        chosen = np.flatnonzero(reached)[better]
        best[chosen], giver[chosen] = score[better], number
        classes[rows[chosen], cols[chosen]] = values[better]
    top, left = part[0].start, part[1].start
    return [
        (zones.index(zone), rows[giver == number] + top, cols[giver == number] + left)
        for number, zone in enumerate(near)
    ]


def _near_border(
    zones: Sequence[Zone], grid: GeoBox
) -> tuple[list[Zone], tuple[slice, slice]] | None:
    """The zones that meet on a grid or beside it, and the rows and columns where they meet."""
    height, width = grid.shape
    rows, cols = (np.append(np.arange(0, size, _COARSE_PX), size - 1) for size in (height, width))
    lon, lat = point_degrees(grid, *np.meshgrid(rows, cols, indexing="ij"))
    close = np.stack(
        [distance_to_zone(zone.epsg, lon, lat) < ZONE_BLEND_M + _COARSE_MARGIN_M for zone in zones]
    )
    meet = close.sum(axis=0) > 1
    if not meet.any():
        return None
    near = [zone for zone, is_close in zip(zones, close, strict=True) if is_close[meet].any()]
    down, across = rows[meet.any(axis=1)], cols[meet.any(axis=0)]
    return near, (_around(down, height), _around(across, width))


def _around(knots: NDArray[np.int64], size: int) -> slice:
    return slice(max(int(knots[0]) - _COARSE_PX, 0), min(int(knots[-1]) + _COARSE_PX, size))
