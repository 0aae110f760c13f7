"""Join the blocks of all zones on one national grid, nearest neighbour, in bounded memory."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lulcmap.errors import OutputError
from lulcmap.geo import clip, grid_areas, pixel_zones, pixels_inside
from lulcmap.legend import NODATA
from lulcmap.output.zone_blend import blend_zones
from lulcmap.output.zone_reader import BlockFiles, ZoneBlocks, ZoneReader
from lulcmap.system import GDAL_OPTIONS, Steps, check_disk, no_progress

_TILE_PX = 512
"""Side of a tile of the output, and rows of a chunk, pixels."""

_CHUNK_PX = 4 * _TILE_PX
"""Columns of a chunk, pixels; with ``_TILE_PX`` rows a chunk takes about 50 MB."""

JOINED_BYTES_PER_PIXEL = 0.3
"""Bytes on disk per pixel of the area, for a map with many small patches; a smooth map takes a
third, pure noise would take 0.5."""

_BANDS_AT_ONCE = 16
"""Bands of a layer that are in memory at once."""

_MOSAIC_OPTIONS: dict[str, Any] = {
    "driver": "GTiff",
    "tiled": True,
    "blockxsize": _TILE_PX,
    "blockysize": _TILE_PX,
    "compress": "deflate",
    "zlevel": 1,  # written once, read once and removed
    "sparse_ok": True,  # an empty tile takes no space
    "bigtiff": "if_safer",
}


def write_mosaic(
    zones: Sequence[ZoneBlocks],
    *,
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    out: Path,
    check: Callable[[Path], None] = lambda _: None,
    areas: NDArray[np.float64] | None = None,
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
        areas: (256,) true areas of each value inside the polygon, square metres; added to.
        progress: called with the number of rows done, and of all rows.

    Returns:
        (256,) number of pixels of each value inside the polygon; the last is of those not mapped.

    Raises:
        OutputError: a block cannot be read, the output cannot be written, or the disk is too full,
            before the first row or after any.

    """
    check_disk(out.parent, mosaic_bytes(polygon, target), "the joined map")
    counts = np.zeros(NODATA + 1, np.int64)
    layout = {"count": 1, "dtype": "uint8", "nodata": NODATA}
    with _written(out, target, layout) as output, closing(BlockFiles(check)) as files:
        sources = [ZoneReader(zone, files, target) for zone in zones]
        for chunk in _all_chunks(target, polygon, sources, out.parent, progress):
            values, _ = _classes(chunk, sources)
            inside = values[chunk.mask]
            counts += np.bincount(inside, minlength=NODATA + 1)
            if areas is not None:
                box = (chunk.rows.start, chunk.cols.start, *values.shape)
                weights = grid_areas(_crs(target).proj, target.affine, box)[chunk.mask]
                areas += np.bincount(inside, weights, minlength=NODATA + 1)
            output.write(values, 1, window=Window.from_slices(chunk.rows, chunk.cols))
        output.close()
        _check(out, counts)
    return counts


@dataclass(frozen=True, slots=True)
class LayerBlocks:
    """Where the values of a layer come from, and how its file holds them."""

    zones: Sequence[ZoneBlocks]
    """The files with its values, of the same zones and boxes as the blocks of the classes."""

    bands: Sequence[int]
    """Bands of these files, in the order of the layer's."""

    dtype: str
    """Data type of the layer, which is that of these files."""

    nodata: int
    """Value of pixels outside the area or all blocks."""


def write_layer(
    zones: Sequence[ZoneBlocks],
    layer: LayerBlocks,
    *,
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    out: Path,
    check: Callable[[Path], None] = lambda _: None,
    progress: Steps = no_progress,
) -> None:
    """Write a layer of a map as a plain tiled GeoTIFF on the map's grid.

    A pixel takes its values from the zone that gave its class, as of ``write_mosaic``.

    Args:
        zones: zones to join, as for ``write_mosaic``; so are the other arguments and the errors.
        layer: the layer.
        target: grid of the output.
        polygon: area of the map.
        out: path of the file.
        check: called with the path of a block before it is first read.
        progress: called with the number of rows done, and of all rows.

    """
    size = np.dtype(layer.dtype).itemsize * len(layer.bands)
    check_disk(out.parent, size * mosaic_bytes(polygon, target), "a layer of the map")
    layout = {"count": len(layer.bands), "dtype": layer.dtype, "nodata": layer.nodata}
    sums = np.zeros(len(layer.bands), np.uint64)
    with _written(out, target, layout) as output, closing(BlockFiles(check)) as files:
        sources = [ZoneReader(zone, files, target) for zone in zones]
        values_of = [
            ZoneReader(zone, files, target, dtype=layer.dtype, nodata=layer.nodata)
            for zone in layer.zones
        ]
        for chunk in _all_chunks(target, polygon, sources, out.parent, progress):
            _, chosen = _classes(chunk, sources)
            for start in range(0, len(layer.bands), _BANDS_AT_ONCE):
                bands = layer.bands[start : start + _BANDS_AT_ONCE]
                shape = (len(bands), *chunk.grid.shape)
                values = np.full(shape, layer.nodata, layer.dtype)
                for number, mask in chosen:
                    values[:, mask] = values_of[number].stack(chunk.grid, mask, bands=bands)
                indexes = list(range(start + 1, start + 1 + len(bands)))
                output.write(values, indexes, window=Window.from_slices(chunk.rows, chunk.cols))
                sums[start : start + len(bands)] += _sums(values, layer.nodata)
        output.close()
        _check_sums(out, sums, layer.nodata)


@contextmanager
def _written(out: Path, target: GeoBox, layout: Mapping[str, Any]) -> Iterator[Any]:
    """A mosaic to write in the body, which closes it; it is removed if the body raises.

    Raises:
        OutputError: it cannot be written.

    """
    height, width = target.shape
    place = {"height": height, "width": width, "crs": _crs(target).to_wkt()}
    try:
        out.unlink(missing_ok=True)
        with (
            rasterio.Env(**GDAL_OPTIONS),
            rasterio.open(
                out, "w", transform=target.affine, **place, **layout, **_MOSAIC_OPTIONS
            ) as output,
        ):
            yield output
    except BaseException as error:
        with suppress(OSError):
            out.unlink(missing_ok=True)
        if not isinstance(error, RasterioError | OSError):
            raise
        raise OutputError(
            f"The map cannot be assembled in {out} ({error}). Check that the disk is not full and "
            "the folder is writable, then run the same command again."
        ) from error


def _crs(target: GeoBox) -> CRS:
    if target.crs is None:
        raise ValueError("the target grid has no CRS")
    return target.crs


def _all_chunks(
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    sources: Sequence[ZoneReader],
    folder: Path,
    progress: Steps,
) -> Iterator["_Chunk"]:
    """The chunks of a target, row of tiles by row; the disk is checked after each row."""
    height = target.shape[0]
    for row in range(0, height, _TILE_PX):
        rows = slice(row, min(row + _TILE_PX, height))
        yield from _chunks(target, rows, polygon, sources)
        check_disk(folder, 0, "the joined map")
        progress(rows.stop, height)


def _classes(
    chunk: "_Chunk", sources: Sequence[ZoneReader]
) -> tuple[NDArray[np.uint8], list[tuple[int, NDArray[np.bool_]]]]:
    """The (H, W) classes of a chunk, and the pixels that each zone gave, by its number."""
    values, source = _values(chunk, sources)
    for number, rows, cols in blend_zones(values, sources, chunk.grid):
        source[rows, cols] = number
    return values, [
        (number, source == number) for number in range(len(sources)) if (source == number).any()
    ]


def mosaic_bytes(polygon: shapely.MultiPolygon, target: GeoBox) -> int:
    """Bytes that ``write_mosaic`` needs on disk for an area; empty tiles take none.

    Args:
        polygon: area of the map, in the target's CRS.
        target: grid of the output.

    """
    affine = target.affine
    return math.ceil(JOINED_BYTES_PER_PIXEL * polygon.area / abs(affine.a * affine.e))


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Part of a row of tiles of the target."""

    rows: slice
    """Rows of the target."""

    cols: slice
    """Columns of the target."""

    grid: GeoBox
    """Grid of the chunk."""

    mask: NDArray[np.bool_]
    """(H, W) whether each pixel's centre lies in the area."""

    zones: Sequence[tuple[ZoneReader, shapely.MultiPolygon]]
    """Zones that reach the chunk, each with its part of the area near the chunk."""


def _chunks(
    target: GeoBox, rows: slice, polygon: shapely.MultiPolygon, zones: Sequence[ZoneReader]
) -> Iterator[_Chunk]:
    """The chunks of a row of tiles that have a pixel inside the polygon."""
    strip = target[rows, :]
    # once per row, because a country's border has a million corners
    near = clip(polygon, strip)
    parts = [(zone, clip(zone.part, strip)) for zone in zones]
    for col in range(0, strip.shape[1], _CHUNK_PX):
        cols = slice(col, min(col + _CHUNK_PX, strip.shape[1]))
        grid = strip[:, cols]
        mask = pixels_inside(near, grid)
        if mask.any():
            reached = [(zone, clip(part, grid)) for zone, part in parts]
            met = [(zone, part) for zone, part in reached if not part.is_empty]
            yield _Chunk(rows, cols, grid, mask, met)


def _values(
    chunk: _Chunk, sources: Sequence[ZoneReader]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(H, W) classes of a chunk, 255 where the mask is False, and the zone each came from or -1."""
    values = np.full(chunk.grid.shape, NODATA, np.uint8)
    source = np.full(chunk.grid.shape, -1)
    owner = _owner(chunk)
    for number, (zone, _) in enumerate(chunk.zones):
        belongs = chunk.mask & (owner == number)
        if belongs.any():
            values[belongs] = zone.values(chunk.grid, belongs)
            source[belongs] = sources.index(zone)
    return values, source


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


def _sums(values: NDArray[Any], nodata: int) -> NDArray[np.uint64]:
    """(B,) sum of the values of each band, nodata as 0."""
    return np.where(values == nodata, 0, values).sum(axis=(1, 2), dtype=np.uint64)


def _check_sums(out: Path, sums: NDArray[np.uint64], nodata: int) -> None:
    """Check that every pixel of a layer is on disk.

    Raises:
        OSError: a pixel is missing.

    """
    on_disk = np.zeros(len(sums), np.uint64)
    with rasterio.open(out) as dataset:
        for _, window in dataset.block_windows(1):
            on_disk += _sums(dataset.read(window=window), nodata)
    if (on_disk != sums).any():
        raise OSError("some pixels did not arrive on disk")
