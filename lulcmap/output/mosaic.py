"""Join the blocks of all zones on one national grid, nearest neighbour, in bounded memory."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox

from lulcmap.geo import grid_areas, pixel_zones
from lulcmap.legend import NODATA
from lulcmap.output.chunks import Chunk, all_chunks
from lulcmap.output.overviews import TILE_PX
from lulcmap.output.stream import Piece, Raster
from lulcmap.output.zone_blend import CLASS, blend_zones
from lulcmap.output.zone_reader import BlockFiles, ZoneBlocks, ZoneReader
from lulcmap.system import GDAL_OPTIONS, Steps, Threads, compiled, no_progress

_CHUNK_PX = 4 * TILE_PX
"""Columns of a chunk, pixels."""

_CHUNK_BYTES = 8 * 2**20
"""Bytes of a chunk's pixels; a layer of many bands has fewer columns to a chunk."""

JOINED_BYTES_PER_PIXEL = 0.3
"""Bytes on disk per pixel of the area, for a map with many small patches; a smooth map takes a
third, pure noise would take 0.5."""


def joined_map(
    zones: Sequence[ZoneBlocks],
    *,
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    check: Callable[[Path], None] = lambda _: None,
    counts: NDArray[np.int64] | None = None,
    areas: NDArray[np.float64] | None = None,
    progress: Steps = no_progress,
) -> Raster:
    """The classes of the blocks on the target grid, made as they are taken.

    A pixel takes the class at its centre, from the zone that the centre lies in: copied if the
    target is on the zone's own grid, else looked up at the exactly transformed centre. Within
    ``ZONE_BLEND_M`` of another zone that has a class there too, it takes the class with the greater
    confidence, weighted by a raised cosine across the border: zones are composited and classified
    separately, and where neither is confident a straight cut between them would show. Pixels
    outside the polygon and outside all blocks are 255.

    Args:
        zones: zones to join.
        target: north-up grid of the map.
        polygon: area of the map, in the target's CRS; a pixel belongs to it by its centre.
        check: called with the path of a block before it is first read; raises ``OutputError`` if it
            is damaged.
        counts: (256,) number of pixels of each value inside the polygon, the last that of those not
            mapped; added to.
        areas: (256,) true areas of each value inside the polygon, square metres; added to.
        progress: called with the number of rows done, and of all rows.

    Returns:
        The map. Taking a piece raises ``OutputError`` if a block cannot be read.

    """

    def pieces(threads: Threads) -> Iterator[Piece]:
        with closing(BlockFiles(check)) as files:
            sources = [ZoneReader(zone, files, target) for zone in zones]

            def join(chunk: Chunk) -> _Joined:
                with rasterio.Env(**GDAL_OPTIONS):
                    return _joined(chunk, sources, weigh=areas is not None)

            chunks = all_chunks(target, polygon, sources, _CHUNK_PX)
            for joined in threads.ahead(join, chunks):
                if counts is not None:
                    counts[:] += joined.counts
                if areas is not None:
                    areas[:] += joined.areas
                yield joined.piece
                _report(joined.piece, target, progress)

    return Raster(_layout(target, 1, "uint8", NODATA), mosaic_bytes(polygon, target), pieces)


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

    bytes_per_pixel: float
    """Most bytes that a pixel takes in a plain file, compressed."""


def joined_layer(
    zones: Sequence[ZoneBlocks],
    layer: LayerBlocks,
    *,
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    check: Callable[[Path], None] = lambda _: None,
    progress: Steps = no_progress,
) -> Raster:
    """A layer of a map on the map's grid, made as it is taken.

    A pixel takes its values from the zone that gave its class, as of ``joined_map``.

    Args:
        zones: zones to join, as for ``joined_map``; so are the other arguments and the errors.
        layer: the layer.
        target: grid of the map.
        polygon: area of the map.
        check: called with the path of a block before it is first read.
        progress: called with the number of rows done, and of all rows.

    """
    pixel = np.dtype(layer.dtype).itemsize * len(layer.bands)

    def pieces(threads: Threads) -> Iterator[Piece]:
        with closing(BlockFiles(check)) as files:
            sources = [ZoneReader(zone, files, target) for zone in zones]
            values_of = [
                ZoneReader(zone, files, target, dtype=layer.dtype, nodata=layer.nodata)
                for zone in layer.zones
            ]

            def join(chunk: Chunk) -> Piece:
                values = np.full((len(layer.bands), *chunk.grid.shape), layer.nodata, layer.dtype)
                mask = chunk.mask()
                if mask.any():
                    with rasterio.Env(**GDAL_OPTIONS):
                        classes = np.full(mask.shape, NODATA, np.uint8)
                        givers = np.full(mask.shape, -1, np.int16)
                        _classes(chunk, mask, sources, classes, givers)
                        for number, reader in enumerate(values_of):
                            given = givers == number
                            if given.any():
                                reader.fill(chunk.grid, given, values, bands=layer.bands)
                return Piece(chunk.rows.start, chunk.cols.start, values)

            columns = max(_CHUNK_BYTES // (pixel * TILE_PX * TILE_PX), 1) * TILE_PX
            columns = min(columns, _CHUNK_PX)
            for piece in threads.ahead(join, all_chunks(target, polygon, sources, columns)):
                yield piece
                _report(piece, target, progress)

    layout = _layout(target, len(layer.bands), layer.dtype, layer.nodata)
    return Raster(layout, mosaic_bytes(polygon, target, layer.bytes_per_pixel), pieces)


def mosaic_bytes(
    polygon: shapely.MultiPolygon, target: GeoBox, per_pixel: float = JOINED_BYTES_PER_PIXEL
) -> int:
    """Most bytes of a plain file with the values of an area; empty tiles take none.

    Args:
        polygon: area of the map, in the target's CRS.
        target: grid of the map.
        per_pixel: most bytes of a pixel, those of a class unless given.

    """
    affine = target.affine
    return math.ceil(per_pixel * polygon.area / abs(affine.a * affine.e))


def _layout(target: GeoBox, count: int, dtype: str, nodata: int) -> dict[str, Any]:
    height, width = target.shape
    place = {"height": height, "width": width, "transform": target.affine}
    return {**place, "crs": _crs(target).to_wkt(), "count": count, "dtype": dtype, "nodata": nodata}


def _crs(target: GeoBox) -> CRS:
    if target.crs is None:
        raise ValueError("the target grid has no CRS")
    return target.crs


@dataclass(frozen=True, slots=True)
class _Joined:
    """The classes of a chunk."""

    piece: Piece
    """The pixels."""

    counts: NDArray[np.int64]
    """(256,) number of pixels of each value inside the area."""

    areas: NDArray[np.float64]
    """(256,) their true areas, square metres; 0 if they are not asked for."""


def _report(piece: Piece, target: GeoBox, progress: Steps) -> None:
    """Say how many rows are done, after the last piece of a strip."""
    _, height, width = piece.values.shape
    if piece.col + width == target.shape[1]:
        progress(piece.row + height, target.shape[0])


def _joined(chunk: Chunk, sources: Sequence[ZoneReader], *, weigh: bool) -> _Joined:
    """The classes of a chunk, counted."""
    mask = chunk.mask()
    values = np.full(mask.shape, NODATA, np.uint8)
    counts, areas = np.zeros(NODATA + 1, np.int64), np.zeros(NODATA + 1)
    if mask.any():
        _classes(chunk, mask, sources, values)
        weights = np.zeros((0, 0))
        if weigh:
            box = (chunk.rows.start, chunk.cols.start, mask.shape[0], mask.shape[1])
            weights = grid_areas(_crs(chunk.target).proj, chunk.target.affine, box)
        _tally(values, mask, np.ascontiguousarray(weights), counts, areas)
    return _Joined(Piece(chunk.rows.start, chunk.cols.start, values[None]), counts, areas)


@compiled
def _tally(
    values: NDArray[np.uint8],
    mask: NDArray[np.bool_],
    weights: NDArray[np.float64],
    counts: NDArray[np.int64],
    areas: NDArray[np.float64],
) -> None:
    """Count (H, W) values where the mask is True, and add up their weights if there are any."""
    # Neighbours count in turns: mostly they have one value, and a count would wait for itself.
    turns = np.zeros((4, counts.size), np.int64)
    for row in range(values.shape[0]):
        for col in range(values.shape[1]):
            if mask[row, col]:
                value = values[row, col]
                turns[col % 4, value] += 1
                if weights.size:
                    areas[value] += weights[row, col]
    for turn in range(turns.shape[0]):
        for value in range(counts.size):
            counts[value] += turns[turn, value]


def _classes(
    chunk: Chunk,
    mask: NDArray[np.bool_],
    sources: Sequence[ZoneReader],
    values: NDArray[np.uint8],
    givers: NDArray[np.int16] | None = None,
) -> None:
    """Find the classes of a chunk.

    Args:
        chunk: the chunk.
        mask: (H, W) its pixels in the area.
        sources: all zones.
        values: (H, W) array to fill with the classes; 255 outside the mask.
        givers: (H, W) array to fill with the number of the zone that gave each; -1 outside the
            mask.

    """
    grid, zones = chunk.grid, chunk.zones()
    owner = _owner(grid, mask, zones)
    for number, (zone, _) in enumerate(zones):
        belongs = mask if owner is None else mask & (owner == number)
        if belongs.any():
            zone.fill(grid, belongs, values[None], bands=[CLASS])
            if givers is not None:
                givers[belongs] = sources.index(zone)
    for number, rows, cols in blend_zones(values, sources, grid):
        if givers is not None:
            givers[rows, cols] = number


def _owner(
    grid: GeoBox,
    mask: NDArray[np.bool_],
    zones: Sequence[tuple[ZoneReader, shapely.MultiPolygon]],
) -> NDArray[np.int16] | None:
    """(H, W) number of the zone that each pixel's centre lies in, where the mask is True.

    Longitude and latitude decide, not the parts: their edges along a meridian are polylines, which
    leave a centimetre between them or overlap by one. None if there is one zone only.
    """
    if len(zones) < 2:
        return None
    codes, owner = pixel_zones(grid), np.full(grid.shape, -1, np.int16)
    for number, (zone, _) in enumerate(zones):
        owner[codes == zone.epsg] = number
    # where an edge of the area follows the meridian
    rows, cols = np.divmod(np.flatnonzero(mask & (owner < 0)), grid.shape[1])
    if rows.size:
        affine = grid.affine
        centres = shapely.points(
            affine.c + (cols + 0.5) * affine.a, affine.f + (rows + 0.5) * affine.e
        )
        distances = [shapely.distance(part, centres) for _, part in zones]
        owner[rows, cols] = np.argmin(distances, axis=0)
    return owner
