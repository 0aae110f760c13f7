"""From the blocks of all zones to one national grid, nearest neighbour, in bounded memory."""

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
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
from lulcmap.geo import RESOLUTION_M, Box, clip, pixel_zones, pixels_inside, zone_pixels
from lulcmap.legend import NODATA
from lulcmap.output.zone_blend import CLASS, blend_zones
from lulcmap.system import GDAL_OPTIONS, Steps, check_disk, no_progress

_TILE_PX = 512
"""Pixels a side of a tile of the output, and rows of a chunk."""

_CHUNK_PX = 4 * _TILE_PX
"""Columns worked on at once; with ``_TILE_PX`` rows, some 50 MB."""

JOINED_BYTES_PER_PIXEL = 0.3
"""Bytes on disk a pixel of the area: of a map with many small patches; a smooth one takes a third.
Classes that are pure noise would take 0.5."""

_MAX_OPEN_FILES = 64
"""Blocks kept open; a row of tiles 2900 km wide touches as many."""

_UNREACHABLE_PX = 2**40
"""A row or column that no zone reaches."""

_MOSAIC_OPTIONS: dict[str, Any] = {
    "driver": "GTiff",
    "count": 1,
    "dtype": "uint8",
    "nodata": NODATA,
    "tiled": True,
    "blockxsize": _TILE_PX,
    "blockysize": _TILE_PX,
    "compress": "deflate",
    "zlevel": 1,  # it is written once, read once and removed
    "sparse_ok": True,  # an empty tile takes no room
    "bigtiff": "if_safer",
}


@dataclass(frozen=True, slots=True)
class ZoneBlocks:
    """What was mapped in one UTM zone."""

    epsg: int
    """Of the zone."""

    part: shapely.MultiPolygon
    """Of the area, what lies in the zone, in the target's CRS."""

    blocks: Sequence[tuple[Path, Box]]
    """Files, uint8, 255 nodata, and their places in the zone's pixels; they do not overlap."""


def write_mosaic(
    zones: Sequence[ZoneBlocks],
    *,
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    out: Path,
    progress: Steps = no_progress,
) -> NDArray[np.int64]:
    """Write the class of the blocks as a plain tiled GeoTIFF on the target grid.

    A pixel takes the class at its centre, of the zone that lies in: copied where the target is on
    the zone's own grid, else looked up at the exactly transformed centre. Within ``zones.JOINT`` of
    another zone that has a class there too, the one is taken whose confidence is the greater,
    weighted by a raised cosine across the border: two zones are composited and classified apart,
    and where neither is sure a straight cut between them would show. 255 outside the polygon and
    where no block is.

    Args:
        zones: what is joined.
        target: north-up grid of the output.
        polygon: in the target's CRS; a pixel belongs to it by its centre.
        out: file to write, or to replace.
        progress: told how many of the target's rows are done, and how many there are.

    Returns:
        (256,) pixels of each value inside the polygon; the last is those nothing was mapped for.

    Raises:
        OutputError: a block cannot be read, the output cannot be written, or the disk has no room
            for it, before the first row or after any.

    """
    if target.crs is None:
        raise ValueError("the target grid has no CRS")
    check_disk(out.parent, mosaic_bytes(polygon, target), "the joined map")
    height, width = target.shape
    place = {"height": height, "width": width, "crs": target.crs.to_wkt()}
    counts = np.zeros(256, np.int64)
    try:
        with rasterio.Env(**GDAL_OPTIONS):
            with (
                closing(_BlockFiles()) as files,
                rasterio.open(out, "w", transform=target.affine, **place, **_MOSAIC_OPTIONS) as output,
            ):
                sources = [_ZoneReader(zone, files, target) for zone in zones]
                for row in range(0, height, _TILE_PX):
                    rows = slice(row, min(row + _TILE_PX, height))
                    for cols, grid, mask, near in _chunks(target[rows, :], polygon, sources):
                        values = _values(near, grid, mask=mask)
                        blend_zones(values, sources, grid)
                        counts += np.bincount(values[mask], minlength=256)
                        output.write(values, 1, window=Window.from_slices(rows, cols))
                    check_disk(out.parent, 0, "the joined map")
                    progress(rows.stop, height)
            _check(out, counts)
    except BaseException as error:
        with suppress(OSError):
            out.unlink(missing_ok=True)
        if not isinstance(error, RasterioError | OSError):
            raise
        raise OutputError(
            f"The map cannot be put together in {out} ({error}). See that the disk is not full and "
            "the folder can be written, then run the same command again."
        ) from error
    return counts


def mosaic_bytes(polygon: shapely.MultiPolygon, target: GeoBox) -> int:
    """Bytes that ``write_mosaic`` takes for an area; empty tiles take none.

    Args:
        polygon: in the target's CRS.
        target: grid of the output.

    """
    affine = target.affine
    return math.ceil(JOINED_BYTES_PER_PIXEL * polygon.area / abs(affine.a * affine.e))


class _BlockFiles:
    """Reads block files, a few of which stay open."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, Any] = OrderedDict()

    def read(self, path: Path, place: tuple[slice, slice], *, band: int) -> NDArray[np.uint8]:
        """Some rows and columns of a block."""
        try:
            window = Window.from_slices(*place)
            return np.asarray(self._dataset(path).read(band, window=window))
        except RasterioError as error:
            raise OutputError(
                f"Block {path} cannot be read ({error}). Run the same command again: it is made "
                "anew."
            ) from error

    def _dataset(self, path: Path) -> Any:
        dataset = self._open.pop(path, None) or rasterio.open(path)
        self._open[path] = dataset  # the last is the one used last
        if len(self._open) > _MAX_OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return dataset

    def close(self) -> None:
        while self._open:
            self._open.popitem()[1].close()


class _ZoneReader:
    """The blocks of a zone, read as if they were one raster."""

    def __init__(self, zone: ZoneBlocks, files: _BlockFiles, target: GeoBox) -> None:
        self.epsg, self.part = zone.epsg, zone.part
        self._blocks, self._files = zone.blocks, files
        extents = np.array([(box.row, box.col, *box.stop) for _, box in zone.blocks]).reshape(-1, 4)
        first, last = extents[:, :2], extents[:, 2:]
        self._around = *first.min(axis=0, initial=_UNREACHABLE_PX), *last.max(axis=0, initial=-_UNREACHABLE_PX)
        self._to_zone = _transformer(target, zone.epsg)

    def values(
        self, grid: GeoBox, mask: NDArray[np.bool_], *, band: int = CLASS
    ) -> NDArray[np.uint8]:
        """The (N,) values of the pixels of a part of the target where the mask is True."""
        if self._to_zone is None:
            row, col = round(-grid.affine.f / RESOLUTION_M), round(grid.affine.c / RESOLUTION_M)
            return self._read(Box(row, col, *grid.shape), band)[mask]
        rows, cols = (axis[mask] for axis in zone_pixels(grid, self._to_zone))
        found = np.full(rows.shape, NODATA, np.uint8)
        row, col, stop_row, stop_col = self._around
        reached = (rows >= row) & (rows < stop_row) & (cols >= col) & (cols < stop_col)
        rows, cols = rows[reached], cols[reached]
        if rows.size:
            row, col = int(rows.min()), int(cols.min())
            box = Box(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1)
            found[reached] = self._read(box, band)[rows - row, cols - col]
        return found

    def _read(self, box: Box, band: int) -> NDArray[np.uint8]:
        """What the blocks hold in a box of the zone's pixels, (H, W); 255 where there is none."""
        values = np.full(box.shape, NODATA, np.uint8)
        for path, place in self._blocks:
            part = place.intersection(box)
            if part is not None:
                values[part.within(box)] = self._files.read(path, part.within(place), band=band)
        return values


def _transformer(target: GeoBox, zone: int) -> Transformer | None:
    """From the target's CRS to a zone's; None where the target's pixels are the zone's."""
    affine, crs = target.affine, target.crs
    aligned = (affine.a, affine.e) == (RESOLUTION_M, -RESOLUTION_M)
    if crs is None or (
        crs.epsg == zone and aligned and not (affine.c % RESOLUTION_M or affine.f % RESOLUTION_M)
    ):
        return None
    return Transformer.from_crs(crs.proj, zone, always_xy=True)


Near = Sequence[tuple[_ZoneReader, shapely.MultiPolygon]]
"""Zones, and of the part of the area in each what is near some pixels."""

Chunk = tuple[slice, GeoBox, NDArray[np.bool_], Near]


def _chunks(
    strip: GeoBox, polygon: shapely.MultiPolygon, zones: Sequence[_ZoneReader]
) -> Iterator[Chunk]:
    """The parts of a row of tiles that have a pixel inside the polygon."""
    # once a row, for a country's border has a million corners
    near = clip(polygon, strip)
    parts = [(zone, clip(zone.part, strip)) for zone in zones]
    for col in range(0, strip.shape[1], _CHUNK_PX):
        cols = slice(col, min(col + _CHUNK_PX, strip.shape[1]))
        grid = strip[:, cols]
        mask = pixels_inside(near, grid)
        if mask.any():
            reached = [(zone, clip(part, grid)) for zone, part in parts]
            yield cols, grid, mask, [(zone, part) for zone, part in reached if not part.is_empty]


def _values(zones: Near, grid: GeoBox, *, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The (H, W) values of a chunk of the target, 255 where the mask is False."""
    values = np.full(grid.shape, NODATA, np.uint8)
    owner = _owner(zones, grid, mask)
    for number, (zone, _) in enumerate(zones):
        belongs = mask & (owner == number)
        if belongs.any():
            values[belongs] = zone.values(grid, belongs)
    return values


def _owner(zones: Near, grid: GeoBox, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(H, W) which of the zones each pixel's centre lies in, where the mask is True.

    Its longitude and latitude decide, not the parts: their edges along a meridian are polylines,
    which leave a centimetre between them or overlap by one.
    """
    if len(zones) < 2:
        return np.zeros(grid.shape, np.int64)
    codes, owner = pixel_zones(grid), np.full(grid.shape, -1)
    for number, (zone, _) in enumerate(zones):
        owner[codes == zone.epsg] = number
    rows, cols = np.nonzero(mask & (owner < 0))  # an edge of the area follows the meridian
    if rows.size:
        affine = grid.affine
        places = shapely.points(
            affine.c + (cols + 0.5) * affine.a, affine.f + (rows + 0.5) * affine.e
        )
        away = [shapely.distance(part, places) for _, part in zones]
        owner[rows, cols] = np.argmin(away, axis=0)
    return owner


def _check(out: Path, counts: NDArray[np.int64]) -> None:
    """See that every pixel has arrived: GDAL may lose a tile on a full disk when it closes a file.

    Raises:
        OSError: one has not.

    """
    found = np.zeros(256, np.int64)
    with rasterio.open(out) as dataset:
        for _, window in dataset.block_windows(1):
            found += np.bincount(dataset.read(1, window=window).ravel(), minlength=256)
    if (found[:NODATA] != counts[:NODATA]).any():
        raise OSError("some pixels did not arrive on disk")
