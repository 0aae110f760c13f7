"""The chunks of a map's grid in which blocks are joined: each knows the area near it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.geo import clip, pixels_inside
from lulcmap.output.overviews import TILE_PX
from lulcmap.output.zone_reader import ZoneReader

_BAND_PX = 16 * TILE_PX
"""Rows to which areas are clipped before they are clipped to strips."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Part of a strip of tiles of the target."""

    rows: slice
    """Rows of the target."""

    cols: slice
    """Columns of the target."""

    target: GeoBox
    """Grid of the map."""

    near: shapely.MultiPolygon
    """The area near the strip; empty if it does not reach the chunk."""

    is_inland: bool
    """Whether the chunk lies within the area."""

    parts: Sequence[tuple[ZoneReader, shapely.MultiPolygon, tuple[float, float, float, float]]]
    """All zones, each with its part of the area near the strip, and the bounds of that."""

    @property
    def grid(self) -> GeoBox:
        """Grid of the chunk."""
        return self.target[self.rows, self.cols]

    def mask(self) -> NDArray[np.bool_]:
        """(H, W) whether each pixel's centre lies in the area."""
        if self.is_inland:
            return np.ones(self.grid.shape, bool)
        return pixels_inside(self.near, self.grid)

    def zones(self) -> list[tuple[ZoneReader, shapely.MultiPolygon]]:
        """Zones that reach the chunk, each with its part of the area near the chunk."""
        west, south, east, north = self.grid.pad(1).boundingbox.bbox
        near = [
            (zone, part)
            for zone, part, (left, bottom, right, top) in self.parts  # NaN if it is empty
            if left <= east and right >= west and bottom <= north and top >= south
        ]
        if len(near) < 2:  # mostly, and clipping is slow
            return near
        reached = [(zone, clip(part, self.grid)) for zone, part in near]
        return [(zone, part) for zone, part in reached if not part.is_empty]


def all_chunks(
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    sources: Sequence[ZoneReader],
    columns: int,
) -> Iterator[Chunk]:
    """The chunks of a target, strip of tiles by strip, each from west to east.

    Args:
        target: grid of the map.
        polygon: area of the map, in the target's CRS.
        sources: all zones.
        columns: columns of a chunk, whole tiles.

    """
    height, areas = target.shape[0], [polygon, *(zone.part for zone in sources)]
    around = areas
    for row in range(0, height, TILE_PX):
        # once per band and per strip, because a country's border has a million corners
        if row % _BAND_PX == 0:
            band = target[row : min(row + _BAND_PX, height), :]
            around = [clip(area, band) for area in areas]
        rows = slice(row, min(row + TILE_PX, height))
        strip = target[rows, :]
        near, *of_zones = (clip(area, strip) for area in around)
        # bounds here, as threads share the parts, and GEOS notes bounds at their first use
        bounds = [part.bounds for part in of_zones]
        parts = list(zip(sources, of_zones, bounds, strict=True))
        across = [
            slice(col, min(col + columns, strip.shape[1]))
            for col in range(0, strip.shape[1], columns)
        ]
        # most chunks are inland or at sea, which a prepared area knows at once
        shapely.prepare(near)
        boxes = [shapely.box(*strip[:, cols].boundingbox.bbox) for cols in across]
        inland, reached = shapely.contains_properly(near, boxes), shapely.intersects(near, boxes)
        for cols, is_inland, is_reached in zip(across, inland, reached, strict=True):
            there = near if is_reached else shapely.MultiPolygon()
            yield Chunk(rows, cols, target, there, bool(is_inland), parts)
