"""The blocks of a UTM zone, read on the grid of a map as if they were one raster."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.errors import OutputError
from lulcmap.geo import RESOLUTION_M, Box, zone_pixels
from lulcmap.legend import NODATA
from lulcmap.output.zone_blend import CLASS

_MAX_OPEN_FILES = 64
"""Block files kept open; a row of tiles 2900 km wide touches as many."""

_UNREACHABLE_PX = 2**40
"""Row or column beyond the pixels of every zone."""


@dataclass(frozen=True, slots=True)
class ZoneBlocks:
    """The blocks mapped in one UTM zone."""

    epsg: int
    """EPSG code of the zone."""

    part: shapely.MultiPolygon
    """The part of the area in the zone, in the target's CRS."""

    blocks: Sequence[tuple[Path, Box]]
    """Block files, uint8, 255 nodata, with their boxes in pixels of the zone, without overlap."""


class BlockFiles:
    """Reads block files and keeps those used last open."""

    def __init__(self, check: Callable[[Path], None]) -> None:
        self._open: OrderedDict[Path, Any] = OrderedDict()
        self._check, self._checked = check, set[Path]()

    def read(self, path: Path, place: tuple[slice, slice], *, bands: Sequence[int]) -> NDArray[Any]:
        """(B, H, W) rows and columns of some bands of a block."""
        try:
            window = Window.from_slices(*place)
            return np.asarray(self._dataset(path).read(list(bands), window=window))
        except RasterioError as error:
            raise OutputError(
                f"Block {path} cannot be read ({error}). Run the same command again to make "
                "the block again."
            ) from error

    def _dataset(self, path: Path) -> Any:
        if path not in self._checked:
            self._check(path)
            self._checked.add(path)
        dataset = self._open.pop(path, None) or rasterio.open(path)
        self._open[path] = dataset  # the last one is the one used last
        if len(self._open) > _MAX_OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return dataset

    def close(self) -> None:
        """Close every file."""
        while self._open:
            self._open.popitem()[1].close()


class ZoneReader:
    """The blocks of a zone, read as if they were one raster."""

    def __init__(
        self,
        zone: ZoneBlocks,
        files: BlockFiles,
        target: GeoBox,
        *,
        dtype: str = "uint8",
        nodata: int = NODATA,
    ) -> None:
        self._dtype, self._nodata = dtype, nodata
        self.epsg, self.part = zone.epsg, zone.part
        self._blocks, self._files = zone.blocks, files
        extents = np.array([(box.row, box.col, *box.stop) for _, box in zone.blocks]).reshape(-1, 4)
        first, last = extents[:, :2], extents[:, 2:]
        self._extent = (
            *first.min(axis=0, initial=_UNREACHABLE_PX),
            *last.max(axis=0, initial=-_UNREACHABLE_PX),
        )
        self._to_zone = _transformer(target, zone.epsg)

    def values(
        self, grid: GeoBox, mask: NDArray[np.bool_], *, band: int = CLASS
    ) -> NDArray[np.uint8]:
        """The (N,) values of the pixels of a part of the target where the mask is True."""
        return self.stack(grid, mask, bands=[band])[0]

    def stack(self, grid: GeoBox, mask: NDArray[np.bool_], *, bands: Sequence[int]) -> NDArray[Any]:
        """(B, N) as ``values``, of several bands."""
        if self._to_zone is None:
            row, col = round(-grid.affine.f / RESOLUTION_M), round(grid.affine.c / RESOLUTION_M)
            return self._read(Box(row, col, *grid.shape), bands)[:, mask]
        rows, cols = (axis[mask] for axis in zone_pixels(grid, self._to_zone))
        values = np.full((len(bands), *rows.shape), self._nodata, self._dtype)
        row, col, stop_row, stop_col = self._extent
        reached = (rows >= row) & (rows < stop_row) & (cols >= col) & (cols < stop_col)
        rows, cols = rows[reached], cols[reached]
        if rows.size:
            row, col = int(rows.min()), int(cols.min())
            box = Box(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1)
            values[:, reached] = self._read(box, bands)[:, rows - row, cols - col]
        return values

    def _read(self, box: Box, bands: Sequence[int]) -> NDArray[Any]:
        """The (B, H, W) values of the blocks in a box of the zone's pixels; nodata outside all."""
        values = np.full((len(bands), *box.shape), self._nodata, self._dtype)
        for path, place in self._blocks:
            part = place.intersection(box)
            if part is not None:
                at = part.within(box)
                values[:, *at] = self._files.read(path, part.within(place), bands=bands)
        return values


def _transformer(target: GeoBox, zone: int) -> Transformer | None:
    """From the target's CRS to a zone's; None if the target's pixels are the zone's own."""
    affine, crs = target.affine, target.crs
    aligned = (affine.a, affine.e) == (RESOLUTION_M, -RESOLUTION_M)
    if crs is None or (
        crs.epsg == zone and aligned and not (affine.c % RESOLUTION_M or affine.f % RESOLUTION_M)
    ):
        return None
    return Transformer.from_crs(crs.proj, zone, always_xy=True)
