"""The job: a plan with its values in hand, all that a block needs to be made."""

from dataclasses import dataclass

import shapely

from lulcmap.catalog import Datatake, S1Choice
from lulcmap.geo import Block, BlockId
from lulcmap.imagery import CompositeRules
from lulcmap.run import Plan

REACH_M = 20.0
"""Metres beyond the area that are mapped too."""


@dataclass(frozen=True, slots=True)
class ZoneJob:
    """What is mapped on the grid of one UTM zone."""

    epsg: int
    """EPSG code of the zone."""

    part: shapely.MultiPolygon
    """The part of the area in the zone, in metres of the zone."""

    reach: shapely.MultiPolygon
    """What is mapped: the part; what the next zones have near the border with this one, because
    zones are blended there; and ``REACH_M`` around both, so that a map in another CRS, which takes
    the nearest pixel, finds one all along the area's border."""

    blocks: tuple[Block, ...]
    """The blocks that have a pixel of the reach."""

    s2_dates: tuple[Datatake, ...]
    """Ranked datatakes of Sentinel-2, in each the scenes on the zone's own grid first."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a block needs to be made."""

    plan: Plan
    """What decides the result."""

    digest: str
    """Digest of the plan."""

    zones: tuple[ZoneJob, ...]
    """The UTM zones the area lies in, by EPSG code."""

    s1: S1Choice
    """Datatakes of Sentinel-1."""

    rules: CompositeRules
    """Rules of the Sentinel-2 composite."""

    @property
    def blocks(self) -> list[Block]:
        """All blocks, zone by zone."""
        return [block for zone in self.zones for block in zone.blocks]

    def zone(self, number: BlockId) -> ZoneJob:
        """The zone of a block."""
        return next(zone for zone in self.zones if zone.epsg == number.zone)
