"""Join the blocks of all zones on one national grid, nearest neighbour, in bounded memory."""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
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
"""Side of a tile of the output, and rows of a chunk, pixels."""

_CHUNK_PX = 4 * _TILE_PX
"""Columns of a chunk, pixels; with ``_TILE_PX`` rows a chunk takes about 50 MB."""

JOINED_BYTES_PER_PIXEL = 0.3
"""Bytes on disk per pixel of the area, for a map with many small patches; a smooth map takes a
third, pure noise would take 0.5."""

_MAX_OPEN_FILES = 64
"""Block files kept open; a row of tiles 2900 km wide touches as many."""

_UNREACHABLE_PX = 2**40
"""Row or column beyond the pixels of every zone."""

_MOSAIC_OPTIONS: dict[str, Any] = {
    "driver": "GTiff",
    "count": 1,
    "dtype": "uint8",
    "nodata": NODATA,
    "tiled": True,
    "blockxsize": _TILE_PX,
    "blockysize": _TILE_PX,
    "compress": "deflate",
    "zlevel": 1,  # written once, read once and removed
    "sparse_ok": True,  # an empty tile takes no space
    "bigtiff": "if_safer",
}


@dataclass(frozen=True, slots=True)
class ZoneBlocks:
    """The blocks mapped in one UTM zone."""

    epsg: int
    """EPSG code of the zone."""

    part: shapely.MultiPolygon
    """The part of the area in the zone, in the target's CRS."""

    blocks: Sequence[tuple[Path, Box]]
    """Block files, uint8, 255 nodata, with their boxes in pixels of the zone, without overlap."""


def write_mosaic(
    zones: Sequence[ZoneBlocks],
    *,
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    out: Path,
    check: Callable[[Path], None] = lambda _: None,
    progress: Steps = no_progress,
) -> NDArray[np.int64]:
    """Write the classes of the blocks as a plain tiled GeoTIFF on the target grid.

    A pixel takes the class at its centre, from the zone that the centre lies in: copied if the
    target is on the zone's own grid, else looked up at the exactly transformed centre. Within
    ``ZONE_BLEND_M`` of another zone that has a class there too, it takes the class with the greater
    confidence, weighted by a raised cosine across the border: zones are composited and classified
    separately, and where neither is confident a straight cut between them would show. Pixels
    outside the polygon and outside all blocks are 255.

    Args:
        zones: zones to join.
        target: north-up grid of the output.
        polygon: area of the map, in the target's CRS; a pixel belongs to it by its centre.
        out: path of the file to write or replace; a link in its place is not followed.
        check: called with the path of a block before it is first read; raises ``OutputError`` if it
            is damaged.
        progress: called with the number of rows done, and of all rows.

    Returns:
        (256,) number of pixels of each value inside the polygon; the last is of those not mapped.

    Raises:
        OutputError: a block cannot be read, the output cannot be written, or the disk is too full,
            before the first row or after any.

    """
    if target.crs is None:
        raise ValueError("the target grid has no CRS")
    check_disk(out.parent, mosaic_bytes(polygon, target), "the joined map")
    height, width = target.shape
    place = {"height": height, "width": width, "crs": target.crs.to_wkt()}
    counts = np.zeros(256, np.int64)
    try:
        out.unlink(missing_ok=True)
        with rasterio.Env(**GDAL_OPTIONS):
            with (
                closing(_BlockFiles(check)) as files,
                rasterio.open(
                    out, "w", transform=target.affine, **place, **_MOSAIC_OPTIONS
                ) as output,
            ):
                sources = [_ZoneReader(zone, files, target) for zone in zones]
                for row in range(0, height, _TILE_PX):
                    rows = slice(row, min(row + _TILE_PX, height))
                    for chunk in _chunks(target[rows, :], polygon, sources):
                        values = _values(chunk)
                        blend_zones(values, sources, chunk.grid)
                        counts += np.bincount(values[chunk.mask], minlength=256)
                        output.write(values, 1, window=Window.from_slices(rows, chunk.cols))
                    check_disk(out.parent, 0, "the joined map")
                    progress(rows.stop, height)
            _check(out, counts)
    except BaseException as error:
        with suppress(OSError):
            out.unlink(missing_ok=True)
        if not isinstance(error, RasterioError | OSError):
            raise
        raise OutputError(
            f"The map cannot be assembled in {out} ({error}). Check that the disk is not full and "
            "the folder is writable, then run the same command again."
        ) from error
    return counts


def mosaic_bytes(polygon: shapely.MultiPolygon, target: GeoBox) -> int:
    """Bytes that ``write_mosaic`` needs on disk for an area; empty tiles take none.

    Args:
        polygon: area of the map, in the target's CRS.
        target: grid of the output.

    """
    affine = target.affine
    return math.ceil(JOINED_BYTES_PER_PIXEL * polygon.area / abs(affine.a * affine.e))


class _BlockFiles:
    """Reads block files and keeps those used last open."""

    def __init__(self, check: Callable[[Path], None]) -> None:
        self._open: OrderedDict[Path, Any] = OrderedDict()
        self._check, self._checked = check, set[Path]()

    def read(self, path: Path, place: tuple[slice, slice], *, band: int) -> NDArray[np.uint8]:
        """Rows and columns of one band of a block."""
        try:
            window = Window.from_slices(*place)
            return np.asarray(self._dataset(path).read(band, window=window))
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
        while self._open:
            self._open.popitem()[1].close()


class _ZoneReader:
    """The blocks of a zone, read as if they were one raster."""

    def __init__(self, zone: ZoneBlocks, files: _BlockFiles, target: GeoBox) -> None:
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
        if self._to_zone is None:
            row, col = round(-grid.affine.f / RESOLUTION_M), round(grid.affine.c / RESOLUTION_M)
            return self._read(Box(row, col, *grid.shape), band)[mask]
        rows, cols = (axis[mask] for axis in zone_pixels(grid, self._to_zone))
        values = np.full(rows.shape, NODATA, np.uint8)
        row, col, stop_row, stop_col = self._extent
        reached = (rows >= row) & (rows < stop_row) & (cols >= col) & (cols < stop_col)
        rows, cols = rows[reached], cols[reached]
        if rows.size:
            row, col = int(rows.min()), int(cols.min())
            box = Box(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1)
            values[reached] = self._read(box, band)[rows - row, cols - col]
        return values

    def _read(self, box: Box, band: int) -> NDArray[np.uint8]:
        """The (H, W) values of the blocks in a box of the zone's pixels; 255 outside all blocks."""
        values = np.full(box.shape, NODATA, np.uint8)
        for path, place in self._blocks:
            part = place.intersection(box)
            if part is not None:
                values[part.within(box)] = self._files.read(path, part.within(place), band=band)
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


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Part of a row of tiles of the target."""

    cols: slice
    """Columns of the target."""

    grid: GeoBox
    """Grid of the chunk."""

    mask: NDArray[np.bool_]
    """(H, W) whether each pixel's centre lies in the area."""

    zones: Sequence[tuple[_ZoneReader, shapely.MultiPolygon]]
    """Zones that reach the chunk, each with its part of the area near the chunk."""


def _chunks(
    strip: GeoBox, polygon: shapely.MultiPolygon, zones: Sequence[_ZoneReader]
) -> Iterator[_Chunk]:
    """The chunks of a row of tiles that have a pixel inside the polygon."""
    # once per row, because a country's border has a million corners
    near = clip(polygon, strip)
    parts = [(zone, clip(zone.part, strip)) for zone in zones]
    for col in range(0, strip.shape[1], _CHUNK_PX):
        cols = slice(col, min(col + _CHUNK_PX, strip.shape[1]))
        grid = strip[:, cols]
        mask = pixels_inside(near, grid)
        if mask.any():
            reached = [(zone, clip(part, grid)) for zone, part in parts]
            yield _Chunk(
                cols, grid, mask, [(zone, part) for zone, part in reached if not part.is_empty]
            )


def _values(chunk: _Chunk) -> NDArray[np.uint8]:
    """The (H, W) values of a chunk, 255 where the mask is False."""
    values = np.full(chunk.grid.shape, NODATA, np.uint8)
    owner = _owner(chunk)
    for number, (zone, _) in enumerate(chunk.zones):
        belongs = chunk.mask & (owner == number)
        if belongs.any():
            values[belongs] = zone.values(chunk.grid, belongs)
    return values


def _owner(chunk: _Chunk) -> NDArray[np.int64]:
    """(H, W) number of the zone that each pixel's centre lies in, where the mask is True.

    Longitude and latitude decide, not the parts: their edges along a meridian are polylines, which
    leave a centimetre between them or overlap by one.
    """
    zones, grid = chunk.zones, chunk.grid
    if len(zones) < 2:
        return np.zeros(grid.shape, np.int64)
    codes, owner = pixel_zones(grid), np.full(grid.shape, -1)
    for number, (zone, _) in enumerate(zones):
        owner[codes == zone.epsg] = number
    rows, cols = np.nonzero(chunk.mask & (owner < 0))  # an edge of the area follows the meridian
    if rows.size:
        affine = grid.affine
        centres = shapely.points(
            affine.c + (cols + 0.5) * affine.a, affine.f + (rows + 0.5) * affine.e
        )
        distances = [shapely.distance(part, centres) for _, part in zones]
        owner[rows, cols] = np.argmin(distances, axis=0)
    return owner


def _check(out: Path, counts: NDArray[np.int64]) -> None:
    """Check that every pixel is on disk: on a full disk GDAL may lose a tile when it closes a file.

    Raises:
        OSError: a pixel is missing.

    """
    counts_on_disk = np.zeros(256, np.int64)
    with rasterio.open(out) as dataset:
        for _, window in dataset.block_windows(1):
            counts_on_disk += np.bincount(dataset.read(1, window=window).ravel(), minlength=256)
    if (counts_on_disk[:NODATA] != counts[:NODATA]).any():
        raise OSError("some pixels did not arrive on disk")
