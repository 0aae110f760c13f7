"""Seams: whether classes change more often across the borders of how a map was made than nearby.

A landscape does not know where blocks, windows and UTM zones end. So the rate at which neighbouring
pixels differ across such a border must be the rate 32 pixels away, on either side; 32, because the
network's own grid has that period. How sure that is, a bootstrap over stretches of border says.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rasterio.errors import RasterioError

from lulcmap.errors import UsageError
from lulcmap.evaluation.seams.counts import Border, Tally
from lulcmap.evaluation.seams.files import opened
from lulcmap.evaluation.seams.lines import Lines, count_lines
from lulcmap.evaluation.seams.rasters import Raster
from lulcmap.evaluation.seams.zones import HALO, count_zone_borders
from lulcmap.geo import pixel_zones, transformer, zone_pixels
from lulcmap.legend import NODATA
from lulcmap.system import Steps, no_progress

__all__ = ["Border", "Findings", "find_seams"]

_ROWS, _COLS = 512, 2048
"""Pixels looked at together, some 100 MB; a row of the COG's tiles."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a map or in a run."""

    borders: tuple[Border, ...]
    """One of each kind."""

    lines: Lines
    """Where windows and blocks end."""

    notes: tuple[str, ...]
    """What was not judged, in sentences."""

    @property
    def seams(self) -> list[Border]:
        """The borders that are seams."""
        return [border for border in self.borders if border.verdict == "seam"]


def find_seams(path: Path, *, progress: Steps = no_progress) -> Findings:
    """Look for seams in a finished map, or in the blocks of a run, in bounded memory.

    Args:
        path: a map of lulcmap in any CRS, or a run folder, whose blocks are judged on their zones'
            own grids.
        progress: told how many strips of rows are done, and how many there are.

    Raises:
        UsageError: it is neither, or cannot be read.

    """
    with opened(path) as (rasters, lines):
        tallies = {kind: Tally() for kind in (*lines.kinds, "zone")}
        strips = [
            (raster, row) for raster in rasters for row in range(0, raster.grid.shape[0], _ROWS)
        ]
        with _reading(path):
            for done, (raster, row) in enumerate(strips, 1):
                for col in range(0, raster.grid.shape[1], _COLS):
                    _count(raster, row, col, lines=lines, tallies=tallies)
                progress(done, len(strips))
    notes = []
    if any(raster.zone for raster in rasters):
        del tallies["zone"]
        notes.append("Zone borders are judged on the finished map.")
    return Findings(
        tuple(tally.judged(kind) for kind, tally in tallies.items()), lines, tuple(notes)
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except RasterioError as error:
        raise UsageError(
            f"{path} cannot be read to its end ({error}). Is it cut off? Make it again."
        ) from error


def _count(raster: Raster, row: int, col: int, *, lines: Lines, tallies: dict[str, Tally]) -> None:
    """Count the pairs of neighbours in a part of a raster."""
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
                tallies=tallies,
            )
    if several:
        wide = raster.patch(row, col, shape=(_ROWS, _COLS), halo=HALO)
        count_zone_borders(wide, pixel_zones(wide.grid), lines=lines, tally=tallies["zone"])
