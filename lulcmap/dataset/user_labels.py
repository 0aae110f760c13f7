"""A user's own labels, cut into chips on the UTM grids: what rasters and polygons share."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.dataset.legend import Legend
from lulcmap.dataset.sample import Label, Sample, digest_of
from lulcmap.dataset.splits import middle
from lulcmap.errors import UsageError
from lulcmap.geo import RESOLUTION_M, Box, geobox, utm_zone
from lulcmap.legend import NODATA
from lulcmap.system import Steps, no_progress

SIDE = 512
"""Pixels a side of a chip; chips lie on multiples of it in each zone."""


class OwnLabels:
    """What rasters and polygons have in common."""

    kind: str
    path: Path
    legend: Legend
    samples: list[Sample]
    left_out: dict[str, str]

    def find(self, progress: Steps = no_progress) -> Self:
        """Cut the labels into chips; those with a labelled pixel are in ``samples`` afterwards.

        Raises:
            UsageError: no pixel has a code of the classes.

        """
        cells = sorted(set(self.cells()))
        codes: set[str] = set()
        for done, (epsg, row, col) in enumerate(cells):
            progress(done, len(cells))
            on = geobox(Box(row * SIDE, col * SIDE, SIDE, SIDE), epsg)
            if utm_zone(*middle(on)) != epsg:
                continue  # the other zone's chips show it
            sample = Sample(f"{epsg}_{-row}_{col}", "own", self.path.name, (self.path,), on)
            if (self.ids(on, codes) != NODATA).any():
                self.samples.append(sample)
        progress(len(cells), len(cells))
        self.samples.sort(key=lambda sample: sample.name)
        unknown = sorted(codes - set(self.legend.codes))
        if not self.samples:
            raise UsageError(
                f"No pixel of {self.path} has a class: it holds the codes "
                f"{', '.join(unknown[:10]) or 'none'}, and the classes have "
                f"{', '.join(list(self.legend.codes)[:10])}. Give --classes with its codes"
                f"{' or the right --attribute' if self.kind == 'vector' else ''}."
            )
        for code in unknown:
            self.left_out[f"{self.path.name}: code {code}"] = "it is of no class"
        return self

    def cells(self) -> Iterator[tuple[int, int, int]]:
        """EPSG code, row and column of each chip that the labels may reach."""
        raise NotImplementedError

    def ids(self, on: GeoBox, seen: set[str]) -> NDArray[np.uint8]:
        """(H, W) class ids on a grid; the codes that were met are added to ``seen``."""
        raise NotImplementedError

    def read(self, sample: Sample) -> Label:
        """What a chip's label says."""
        return Label(self.ids(sample.grid, set()))

    def digest(self, sample: Sample) -> str:  # noqa: ARG002 - one file for all
        """SHA-256 of the label file."""
        if self._digest is None:
            self._digest = digest_of(self.path)
        return self._digest

    _digest: str | None = None

    def settings(self) -> dict[str, Any]:
        """What decides how the labels are read."""
        return {"labels": self.kind, "codes": dict(self.legend.codes), "chip": SIDE}


def cells_of(
    bounds: tuple[float, float, float, float], epsg: int
) -> Iterator[tuple[int, int, int]]:
    """The chips that a box in metres of a zone meets."""
    left, bottom, right, top = (value / (SIDE * RESOLUTION_M) for value in bounds)
    for row in range(math.floor(-top), math.ceil(-bottom)):
        for col in range(math.floor(left), math.ceil(right)):
            yield epsg, row, col
