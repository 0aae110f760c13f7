"""The windows of labels out of a catalogue, composited as a map of the area would be."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from pyproj import CRS

from lulcmap.adaptation.labels import Labels
from lulcmap.adaptation.windows import LabelledWindow, Placed, place_labels
from lulcmap.catalog import Period
from lulcmap.errors import ReadError
from lulcmap.geo import RESOLUTION_M, Box, geobox, utm_zone
from lulcmap.imagery import Composite, composite_grids
from lulcmap.model import SUN_ZENITH, Contract
from lulcmap.planning import Settings
from lulcmap.sensors import S2_NODATA


@dataclass(frozen=True)
class CatalogImagery:
    """An area and a period of a catalogue, with the settings of a map of it."""

    name: str
    """What the area is called."""

    area: shapely.MultiPolygon
    """The area, longitude and latitude, degrees; labels outside it are not looked at."""

    period: Period
    """Period of the composites."""

    settings: Settings
    """Settings of the map: catalogue, rules of the composite, and reading."""

    def describe(self) -> str:
        """Area and period."""
        return f"{self.name}, {self.period.start} to {self.period.end}"

    def windows(
        self, labels: Labels, wanted: NDArray[np.intp], contract: Contract
    ) -> tuple[int, Iterator[LabelledWindow]]:
        """The windows of the labels in the area, as of ``Imagery``."""
        points = shapely.point_on_surface(labels.shapes[wanted])
        shapely.prepare(self.area)
        inside = wanted[shapely.intersects(self.area, points)]
        by_zone: dict[int, list[int]] = {}
        for number in inside.tolist():
            point = shapely.point_on_surface(labels.shapes[number])
            by_zone.setdefault(utm_zone(point.x, point.y), []).append(number)
        unit = Affine(RESOLUTION_M, 0, 0, 0, -RESOLUTION_M, 0)  # a zone's own lattice
        found = {
            (zone, *corner): pixels
            for zone, numbers in sorted(by_zone.items())
            for corner, pixels in place_labels(
                labels, np.array(numbers, np.intp), CRS.from_epsg(zone), unit, (0, 0)
            )
            .by_window(contract)
            .items()
        }
        return len(found), self._read(found, contract)

    def _read(
        self, found: dict[tuple[int, int, int], Placed], contract: Contract
    ) -> Iterator[LabelledWindow]:
        size, chosen = contract.window, self.settings
        if not found:
            return
        grids = [geobox(Box(row, col, size, size), zone) for zone, row, col in found]
        request = chosen.composite_request(self.period, sun=SUN_ZENITH in contract.scalars)
        made = composite_grids(self.area, grids, request)
        for pixels, composite in zip(found.values(), made, strict=True):
            self._check_lost(composite)
            s2, s1 = composite.s2, composite.s1
            if chosen.s1 == "required":  # a map leaves these pixels out
                s2 = np.where(composite.has_s1, s2, S2_NODATA).astype(np.uint16)
            yield LabelledWindow(s2, s1, pixels.label, pixels.row, pixels.col, composite.sun)

    def _check_lost(self, composite: Composite) -> None:
        lost = len(composite.lost) - composite.replaced
        if lost > self.settings.max_lost * composite.opened:
            raise ReadError(
                f"{lost} of {composite.opened} assets around a label could not be read "
                f"({composite.lost[0].reason}). Run the same command again later, or raise "
                "--max-lost."
            )
