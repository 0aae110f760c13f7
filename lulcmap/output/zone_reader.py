"""The blocks of a UTM zone, read on the grid of a map as if they were one raster."""

import threading
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
from lulcmap.geo import RESOLUTION_M, Box, fill_from_zone
from lulcmap.legend import NODATA

_MAX_OPEN_FILES = 64
"""Block files kept open; a row of tiles 2900 km wide touches as many."""


@dataclass(frozen=True, slots=True)
class ZoneBlocks:
    """The blocks mapped in one UTM zone."""

    epsg: int
    """EPSG code of the zone."""

    part: shapely.MultiPolygon
    """The part of the area in the zone, in the target's CRS."""

    blocks: Sequence[tuple[Path, Box]]
    """Block files, uint8, 255 nodata, with their boxes in pixels of the zone, without overlap."""


class _Held:
    """A block file that may be open; its lock is held by the one thread that uses it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.dataset: Any = None
        self.is_given_up = False

    def give_up(self) -> None:
        """Close the file once nobody reads it."""
        with self.lock:
            self.is_given_up = True
            if self.dataset is not None:
                self.dataset.close()


class BlockFiles:
    """Reads block files and keeps those used last open; threads may share it."""

    def __init__(self, check: Callable[[Path], None]) -> None:
        self._held: OrderedDict[Path, _Held] = OrderedDict()
        self._check, self._checked = check, set[Path]()
        self._lock = threading.Lock()

    def read(self, path: Path, place: tuple[slice, slice], *, bands: Sequence[int]) -> NDArray[Any]:
        """(B, H, W) rows and columns of some bands of a block."""
        window = Window.from_slices(*place)
        while True:
            held = self._take(path)
            with held.lock:
                if held.is_given_up:  # between the two lines above
                    continue
                try:
                    if held.dataset is None:
                        held.dataset = self._opened(path)
                    return np.asarray(held.dataset.read(list(bands), window=window))
                except RasterioError as error:
                    raise OutputError(
                        f"Block {path} cannot be read ({error}). Run the same command again to "
                        "make the block again."
                    ) from error

    def _opened(self, path: Path) -> Any:
        if path not in self._checked:
            self._check(path)
            self._checked.add(path)
        return rasterio.open(path)

    def _take(self, path: Path) -> _Held:
        with self._lock:
            held = self._held.pop(path, None) or _Held()
            self._held[path] = held  # the last one is the one used last
            old = len(self._held) > _MAX_OPEN_FILES and self._held.popitem(last=False)[1]
        if old:
            old.give_up()
        return held

    def close(self) -> None:
        """Close every file."""
        while self._held:
            self._held.popitem()[1].give_up()


class ZoneReader:
    """The blocks of a zone, read as if they were one raster; threads may share it."""

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
        self._extents = np.array([(box.row, box.col, *box.stop) for _, box in zone.blocks]).reshape(
            -1, 4
        )
        self._to_zone = _transformer(target, zone.epsg)

    def values(
        self, grid: GeoBox, mask: NDArray[np.bool_], *, bands: Sequence[int]
    ) -> NDArray[Any]:
        """The (B, N) values of the pixels of a part of the target where the mask is True."""
        out = np.full((len(bands), *grid.shape), self._nodata, self._dtype)
        self.fill(grid, mask, out, bands=bands)
        return out[:, mask]

    def fill(
        self, grid: GeoBox, mask: NDArray[np.bool_], out: NDArray[Any], *, bands: Sequence[int]
    ) -> None:
        """Fill the pixels of a part of the target, in (B, H, W), where the mask is True.

        A pixel outside all blocks stays as it is.
        """
        if not self._blocks:
            return
        raster = _ZoneRaster(self, bands)
        if self._to_zone is not None:
            fill_from_zone(grid, self._to_zone, mask, raster, out)
            return
        row, col = round(-grid.affine.f / RESOLUTION_M), round(grid.affine.c / RESOLUTION_M)
        grid_box = Box(row, col, *grid.shape)
        box = grid_box.intersection(raster.extent)
        if box is not None:
            at = box.within(grid_box)
            np.copyto(out[:, *at], raster.read(box), where=mask[at])

    @property
    def extent(self) -> Box:
        """The pixels of the zone around all blocks."""
        (row, col), (stop_row, stop_col) = (
            self._extents[:, :2].min(axis=0),
            self._extents[:, 2:].max(axis=0),
        )
        return Box(int(row), int(col), int(stop_row - row), int(stop_col - col))

    def read(self, box: Box, bands: Sequence[int]) -> NDArray[Any]:
        """The (B, H, W) values of the blocks in a box of the zone's pixels; nodata outside all."""
        values = np.full((len(bands), *box.shape), self._nodata, self._dtype)
        first, last = self._extents[:, :2], self._extents[:, 2:]
        for number in np.flatnonzero(
            ((first < box.stop) & (last > (box.row, box.col))).all(axis=1)
        ):
            path, place = self._blocks[int(number)]
            part = place.intersection(box)
            if part is not None:
                at = part.within(box)
                values[:, *at] = self._files.read(path, part.within(place), bands=bands)
        return values


@dataclass(frozen=True, slots=True)
class _ZoneRaster:
    """Some bands of a zone, to take values from."""

    reader: ZoneReader
    """The zone."""

    bands: Sequence[int]
    """Bands of its block files."""

    @property
    def extent(self) -> Box:
        """The pixels of the zone around all blocks."""
        return self.reader.extent

    def read(self, box: Box) -> NDArray[Any]:
        """The (B, H, W) values in a box."""
        return self.reader.read(box, self.bands)


def _transformer(target: GeoBox, zone: int) -> Transformer | None:
    """From the target's CRS to a zone's; None if the target's pixels are the zone's own."""
    affine, crs = target.affine, target.crs
    aligned = (affine.a, affine.e) == (RESOLUTION_M, -RESOLUTION_M)
    if crs is None or (
        crs.epsg == zone and aligned and not (affine.c % RESOLUTION_M or affine.f % RESOLUTION_M)
    ):
        return None
    return Transformer.from_crs(crs.proj, zone, always_xy=True)
