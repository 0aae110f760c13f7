"""A user's own labels, cut into chips on the UTM grids: common code of rasters and polygons."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.dataset.legend import PLAIN, Legend
from lulcmap.dataset.sample import Label, Sample, digest_files
from lulcmap.dataset.splits import grid_centre
from lulcmap.errors import UsageError
from lulcmap.geo import RESOLUTION_M, Box, geobox, utm_zone
from lulcmap.legend import NODATA
from lulcmap.system import Steps, no_progress

CHIP_SIZE_PX = 512
"""Side of a chip in pixels; chips start at multiples of it in each zone."""


class UserLabels:
    """Labels in a user's file, cut into chips."""

    kind: str
    path: Path
    legend: Legend
    samples: list[Sample]
    left_out: dict[str, str]

    def find(self, progress: Steps = no_progress) -> Self:
        """Cut the labels into chips, and keep those with a labelled pixel in ``samples``.

        Raises:
            UsageError: no pixel has a code of the legend, or no legend was given and a code is none
                of Dynamic World's.

        """
        cells = sorted(set(self.cells()))
        codes: set[str] = set()
        for done, (epsg, row, col) in enumerate(cells):
            progress(done, len(cells))
            box = Box(row * CHIP_SIZE_PX, col * CHIP_SIZE_PX, CHIP_SIZE_PX, CHIP_SIZE_PX)
            grid = geobox(box, epsg)
            if utm_zone(*grid_centre(grid)) != epsg:
                continue  # the other zone's chips show it
            sample = Sample(f"{epsg}_{-row}_{col}", "own", self.path.name, (self.path,), grid)
            if (self.ids(grid, codes) != NODATA).any():
                self.samples.append(sample)
        progress(len(cells), len(cells))
        self.samples.sort(key=lambda sample: sample.name)
        unknown = sorted(codes - set(self.legend.codes))
        if not self.samples:
            raise UsageError(
                f"No pixel of {self.path} has a class: its codes are "
                f"{', '.join(unknown[:10]) or 'none'}, those of the classes are "
                f"{', '.join(list(self.legend.codes)[:10])}. Give --classes with its codes"
                f"{' or the right --attribute' if self.kind == 'vector' else ''}."
            )
        foreign = [code for code in unknown if code != str(NODATA)]
        if foreign and self.legend is PLAIN:
            raise UsageError(
                f"{self.path} has the codes {', '.join(foreign[:10])}, which are none of Dynamic "
                "World's, 0 to 8. Give --classes, a CSV file with the meaning of every code."
            )
        for code in unknown:
            self.left_out[f"{self.path.name}: code {code}"] = "it has no class"
        return self

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """EPSG code, row and column of each chip that may hold labels."""
        raise NotImplementedError

    def ids(self, grid: GeoBox, codes: set[str]) -> NDArray[np.uint8]:
        """(H, W) class ids on a grid; the codes of the labels there are added to ``codes``."""
        raise NotImplementedError

    def read(self, sample: Sample) -> Label:
        """Read a chip's label."""
        return Label(self.ids(sample.grid, set()))

    def digest(self, sample: Sample) -> str:  # noqa: ARG002 - one file for all
        """SHA-256 of the label file."""
        if self._digest is None:
            self._digest = digest_files(self.path)
        return self._digest

    _digest: str | None = None

    def settings(self) -> dict[str, Any]:
        """Settings that decide how the labels are read, plain JSON."""
        return {"labels": self.kind, "codes": dict(self.legend.codes), "chip": CHIP_SIZE_PX}


def chip_cells(
    bounds: tuple[float, float, float, float], epsg: int
) -> Iterator[tuple[int, int, int]]:
    """The chips of a zone that a box intersects.

    Args:
        bounds: left, bottom, right, top, metres of the zone's CRS.
        epsg: EPSG code of the zone.

    Yields:
        EPSG code, row and column of a chip.

    """
    left, bottom, right, top = (value / (CHIP_SIZE_PX * RESOLUTION_M) for value in bounds)
    for row in range(math.floor(-top), math.ceil(-bottom)):
        for col in range(math.floor(left), math.ceil(right)):
            yield epsg, row, col
