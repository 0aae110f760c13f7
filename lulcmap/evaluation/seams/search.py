"""Find seams: classes that change more often across borders of the map's making than nearby.

A landscape does not know where blocks, windows and UTM zones end. So neighbouring pixels must not
differ more often across such a border than 32 pixels away, on either side; 32, because the
network's own grid has that period. A bootstrap over stretches of border tests the difference.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import RasterioError

from lulcmap.errors import UsageError
from lulcmap.evaluation.seams.counts import Border, BorderCounts
from lulcmap.evaluation.seams.files import open_rasters
from lulcmap.evaluation.seams.lines import Lines, count_lines
from lulcmap.evaluation.seams.rasters import Raster
from lulcmap.evaluation.seams.zones import HALO_PX, count_zone_borders
from lulcmap.geo import pixel_zones, transformer, zone_pixels
from lulcmap.legend import NODATA
from lulcmap.system import Steps, no_progress

_ROWS, _COLS = 512, 2048
"""Rows and columns of a patch, some 100 MB; its rows are those of a COG tile."""


@dataclass(frozen=True, slots=True)
class SeamReport:
    """The seams of a map or of a run."""

    borders: tuple[Border, ...]
    """Borders of each kind."""

    lines: Lines
    """Lines at which windows and blocks end."""

    notes: tuple[str, ...]
    """What was not judged, in sentences."""

    @property
    def seams(self) -> list[Border]:
        """The borders that are seams."""
        return [border for border in self.borders if border.verdict == "seam"]

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return {
            "lattice": [self.lines.lattice.size, self.lines.lattice.step],
            "block_size": self.lines.block_size,
            "borders": [border.to_json() for border in self.borders],
            "notes": list(self.notes),
            "seam": bool(self.seams),
        }


def find_seams(path: Path, *, progress: Steps = no_progress) -> SeamReport:
    """Find seams in a finished map, or in the blocks of a run, in bounded memory.

    Args:
        path: path of a map made by lulcmap in any CRS, or of a run folder, whose blocks are judged
            on their zones' own grids.
        progress: called with the number of strips of rows done, and of all strips.

    Raises:
        UsageError: the path is neither, or cannot be read.

    """
    with open_rasters(path) as (rasters, lines):
        counts = {kind: BorderCounts() for kind in (*lines.kinds, "zone")}
        strips = [
            (raster, row) for raster in rasters for row in range(0, raster.grid.shape[0], _ROWS)
        ]
        with _read_errors(path):
            for done, (raster, row) in enumerate(strips, 1):
                for col in range(0, raster.grid.shape[1], _COLS):
                    _count(raster, row, col, lines=lines, counts=counts)
                progress(done, len(strips))
    notes = []
    if any(raster.zone for raster in rasters):
        del counts["zone"]
        notes.append("Zone borders are judged on the finished map only.")
    return SeamReport(
        tuple(border_counts.result(kind) for kind, border_counts in counts.items()),
        lines,
        tuple(notes),
    )


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except RasterioError as error:
        raise UsageError(
            f"{path} cannot be read to its end ({error}); it may be truncated. Make it again."
        ) from error


def _count(
    raster: Raster, row: int, col: int, *, lines: Lines, counts: dict[str, BorderCounts]
) -> None:
    """Count the pairs of neighbours in a patch of a raster."""
    patch = raster.patch(row, col, shape=(_ROWS, _COLS))
    if (patch.values == NODATA).all():
        return
    if raster.zone is None:
        zones = pixel_zones(patch.grid)
    else:
        zones = np.full(patch.values.shape, raster.zone)
    several = zones.min() != zones.max()
    for zone in np.unique(zones).tolist() if several else [int(zones[0, 0])]:
        if zone:
            count_lines(
                patch,
                zone_pixels(patch.grid, transformer(str(patch.grid.crs), f"EPSG:{zone}")),
                zone=zone,
                mine=zones == zone,
                lines=lines,
                counts=counts,
            )
    if several:
        wide = raster.patch(row, col, shape=(_ROWS, _COLS), halo=HALO_PX)
        count_zone_borders(wide, pixel_zones(wide.grid), lines=lines, counts=counts["zone"])
