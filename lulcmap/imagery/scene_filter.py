"""The scenes that may cover a grid."""

from collections.abc import Sequence

from odc.geo.geobox import GeoBox

from lulcmap.catalog import Datatake
from lulcmap.geo import footprint

_BBOX_TOLERANCE_DEGREES = 0.02
"""Distance (2 km) by which a scene's bbox may miss a grid and the scene is still read: catalogues
round their boxes, and a scene's edges are curved in degrees."""


class SceneFilter:
    """Selects the scenes that may cover a grid, by their bounding boxes alone."""

    def __init__(self, grid: GeoBox) -> None:
        self._west, self._south, east, self._north = footprint(grid)
        self._east = east + 360 * (east < self._west)  # the grid crosses 180 degrees

    def only(self, datatakes: Sequence[Datatake]) -> list[Datatake]:
        """Keep the scenes near the grid; drop datatakes without any."""
        nearby = [
            tuple(scene for scene in datatake if self._touches(scene.bbox))
            for datatake in datatakes
        ]
        return [datatake for datatake in nearby if datatake]

    def _touches(self, bbox: tuple[float, float, float, float]) -> bool:
        west, south, east, north = bbox
        east += 360 * (east < west)
        return (
            south - _BBOX_TOLERANCE_DEGREES < self._north
            and north + _BBOX_TOLERANCE_DEGREES > self._south
        ) and any(
            west + turn - _BBOX_TOLERANCE_DEGREES < self._east
            and east + turn + _BBOX_TOLERANCE_DEGREES > self._west
            for turn in (-360, 0, 360)
        )
