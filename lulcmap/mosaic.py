"""From the blocks of all zones to one national grid, nearest neighbour, in bounded memory."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
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
from lulcmap.grid import RESOLUTION, clip, inside, utm_zone
from lulcmap.legend import NODATA
from lulcmap.windows import Box

_TILE = 512
"""Pixels a side of a tile of the output, and rows of a chunk."""

_CHUNK = 4 * _TILE
"""Columns worked on at once; with ``_TILE`` rows, some 50 MB."""

_KNOT = 32
"""Pixels between the places where the transformation is evaluated."""

_OPEN_FILES = 64
"""Blocks kept open; a row of tiles 2900 km wide touches as many."""

_GDAL_ENV = {
    "GDAL_CACHEMAX": 64 * 2**20,  # bytes; GDAL's default is 5 % of the machine
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # do not list the blocks' folder for each block
    "GDAL_PAM_ENABLED": "NO",  # no .aux.xml beside the output
}

_LAYOUT: dict[str, Any] = {
    "driver": "GTiff",
    "count": 1,
    "dtype": "uint8",
    "nodata": NODATA,
    "tiled": True,
    "blockxsize": _TILE,
    "blockysize": _TILE,
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


def mosaic(
    zones: Sequence[ZoneBlocks],
    *,
    target: GeoBox,
    polygon: shapely.MultiPolygon,
    out: Path,
    band: int = 1,
    progress: Callable[[int, int], object] = lambda *_: None,
) -> NDArray[np.int64]:
    """Write one band of the blocks as a plain tiled GeoTIFF on the target grid.

    A pixel takes the value at its centre, of the zone that lies in: copied where the target is on
    the zone's own grid, else looked up at the exactly transformed centre. 255 outside the polygon
    and where no block is.

    Args:
        zones: what is joined.
        target: north-up grid of the output.
        polygon: in the target's CRS; a pixel belongs to it by its centre.
        out: file to write, or to replace.
        band: of the block files, from 1.
        progress: told how many of the target's rows are done, and how many there are.

    Returns:
        (256,) pixels of each value inside the polygon; the last is those nothing was mapped for.

    Raises:
        OutputError: a block cannot be read, or the output cannot be written.

    """
    if target.crs is None:
        raise ValueError("the target grid has no CRS")
    height, width = target.shape
    place = {"height": height, "width": width, "crs": target.crs.to_wkt()}
    counts = np.zeros(256, np.int64)
    try:
        with rasterio.Env(**_GDAL_ENV):
            with (
                _Files(band) as files,
                rasterio.open(out, "w", transform=target.affine, **place, **_LAYOUT) as output,
            ):
                sources = [_Zone(zone, files, target) for zone in zones]
                for rows, chunks in _chunks(target, polygon, sources):
                    for cols, grid, mask, near in chunks:
                        values = _values(near, grid, mask=mask)
                        counts += np.bincount(values[mask], minlength=256)
                        output.write(values, 1, window=Window.from_slices(rows, cols))
                    progress(rows.stop, height)
            _check(out, counts)
    except (RasterioError, OSError) as error:
        out.unlink(missing_ok=True)
        raise OutputError(
            f"The map cannot be put together in {out} ({error}). See that the disk is not full and "
            "the folder can be written, then run the same command again."
        ) from error
    except BaseException:
        out.unlink(missing_ok=True)
        raise
    return counts


class _Files:
    """Reads block files, a few of which stay open."""

    def __init__(self, band: int) -> None:
        self._band = band
        self._open: OrderedDict[Path, Any] = OrderedDict()

    def __enter__(self) -> "_Files":
        return self

    def __exit__(self, *_: object) -> None:
        while self._open:
            self._open.popitem()[1].close()

    def read(self, path: Path, place: tuple[slice, slice]) -> NDArray[np.uint8]:
        """Some rows and columns of a block."""
        try:
            window = Window.from_slices(*place)
            return np.asarray(self._dataset(path).read(self._band, window=window))
        except RasterioError as error:
            raise OutputError(
                f"Block {path} cannot be read ({error}). Run the same command again: it is made "
                "anew."
            ) from error

    def _dataset(self, path: Path) -> Any:
        dataset = self._open.pop(path, None) or rasterio.open(path)
        self._open[path] = dataset  # the last is the one used last
        if len(self._open) > _OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return dataset


class _Zone:
    """The blocks of a zone, read as if they were one raster."""

    def __init__(self, zone: ZoneBlocks, files: _Files, target: GeoBox) -> None:
        self.epsg, self.part = zone.epsg, zone.part
        self._blocks, self._files = zone.blocks, files
        self._extents = np.array(
            [(box.row, box.col, *box.stop) for _, box in zone.blocks], np.int64
        ).reshape(-1, 4)
        self._to_zone = None
        if target.crs is not None and not _aligned(target, zone.epsg):
            self._to_zone = Transformer.from_crs(target.crs.proj, zone.epsg, always_xy=True)

    def values(self, grid: GeoBox, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """The (N,) values of the pixels of a part of the target where the mask is True."""
        if self._to_zone is None:
            row, col = round(-grid.affine.f / RESOLUTION), round(grid.affine.c / RESOLUTION)
            return self._read(Box(row, col, *grid.shape))[mask]
        rows, cols = (axis[mask] for axis in zone_pixels(grid, self._to_zone))
        found = np.full(rows.shape, NODATA, np.uint8)
        reached = self._reach(rows, cols)
        rows, cols = rows[reached], cols[reached]
        if rows.size:
            row, col = int(rows.min()), int(cols.min())
            box = Box(row, col, int(rows.max()) - row + 1, int(cols.max()) - col + 1)
            found[reached] = self._read(box)[rows - row, cols - col]
        return found

    def _read(self, box: Box) -> NDArray[np.uint8]:
        """What the blocks hold in a box of the zone's pixels, (H, W); 255 where there is none."""
        values = np.full(box.shape, NODATA, np.uint8)
        row, col, stop_row, stop_col = self._extents.T
        near = (row < box.stop[0]) & (stop_row > box.row)
        near &= (col < box.stop[1]) & (stop_col > box.col)
        for index in np.flatnonzero(near).tolist():
            path, place = self._blocks[index]
            part = place.intersection(box)
            if part is not None:
                values[part.within(box)] = self._files.read(path, part.within(place))
        return values

    def _reach(self, rows: NDArray[np.int64], cols: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which of some pixels of the zone lie in the box around all blocks."""
        if not self._blocks:
            return np.zeros(rows.shape, bool)
        row, col = self._extents[:, :2].min(axis=0)
        stop_row, stop_col = self._extents[:, 2:].max(axis=0)
        return (rows >= row) & (rows < stop_row) & (cols >= col) & (cols < stop_col)


def _aligned(target: GeoBox, zone: int) -> bool:
    """Whether the target's pixels are the zone's."""
    affine = target.affine
    return bool(
        target.crs is not None
        and target.crs.epsg == zone
        and (affine.a, affine.e) == (RESOLUTION, -RESOLUTION)
        and affine.c % RESOLUTION == 0
        and affine.f % RESOLUTION == 0
    )


Near = Sequence[tuple[_Zone, shapely.MultiPolygon]]
"""Zones, and of the part of the area in each what is near some pixels."""

Chunk = tuple[slice, GeoBox, NDArray[np.bool_], Near]


def _chunks(
    target: GeoBox, polygon: shapely.MultiPolygon, zones: Sequence[_Zone]
) -> Iterator[tuple[slice, Iterator[Chunk]]]:
    """The rows of tiles, and in each the chunks that have a pixel inside the polygon."""
    height = target.shape[0]
    for row in range(0, height, _TILE):
        rows = slice(row, min(row + _TILE, height))
        yield rows, _chunks_of_row(target[rows, :], polygon, zones)


def _chunks_of_row(
    strip: GeoBox, polygon: shapely.MultiPolygon, zones: Sequence[_Zone]
) -> Iterator[Chunk]:
    # once a row, for a country's border has a million corners
    near = clip(polygon, strip)
    parts = [(zone, clip(zone.part, strip)) for zone in zones]
    for col in range(0, strip.shape[1], _CHUNK):
        cols = slice(col, min(col + _CHUNK, strip.shape[1]))
        grid = strip[:, cols]
        mask = inside(near, grid)
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


def _owner(zones: Near, grid: GeoBox, mask: NDArray[np.bool_]) -> NDArray[np.int16]:
    """(H, W) which of the zones each pixel's centre lies in, where the mask is True.

    The parts' edges are polylines in the target's CRS, and two that follow one meridian may leave
    a centimetre between them or overlap by one. There the centre's longitude decides.
    """
    owner = np.zeros(grid.shape, np.int16)
    if len(zones) == 1:
        return owner
    times = np.zeros(grid.shape, np.int16)
    for number, (_, part) in enumerate(zones):
        belongs = inside(part, grid)
        owner[belongs] = number
        times += belongs
    rows, cols = np.nonzero(mask & (times != 1))
    if rows.size:
        owner[rows, cols] = _looked_up(zones, grid, rows, cols)
    return owner


def _looked_up(
    zones: Near, grid: GeoBox, rows: NDArray[np.int64], cols: NDArray[np.int64]
) -> list[int]:
    """Which of the zones some pixels of a grid lie in, one by one; the nearest if in none."""
    affine = grid.affine
    xs, ys = affine.c + (cols + 0.5) * affine.a, affine.f + (rows + 0.5) * affine.e
    to_degrees = Transformer.from_crs(str(grid.crs), 4326, always_xy=True)
    lons, lats = to_degrees.transform(xs, ys)
    codes = [zone.epsg for zone, _ in zones]
    found = []
    for x, y, lon, lat in zip(xs, ys, lons, np.clip(lats, -80, 84), strict=True):
        code = utm_zone(lon, lat)
        if code in codes:
            found.append(codes.index(code))
        else:  # an edge of the area follows the meridian
            found.append(
                int(np.argmin(shapely.distance([part for _, part in zones], shapely.Point(x, y))))
            )
    return found


_NOWHERE = np.iinfo(np.int64).min
"""Row and column of a pixel whose centre has no place in the zone."""


def zone_pixels(grid: GeoBox, to_zone: Transformer) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixel of a zone that each pixel of a grid has its centre in, exactly.

    The transformation is evaluated every 32 pixels and interpolated between; how far that is off is
    measured in the middle of each cell, where it is worst. The pixels that lie nearer to an edge
    than four times that, about one in a hundred, are evaluated one by one.

    Args:
        grid: (H, W), north-up.
        to_zone: from the grid's CRS to the zone's, x before y.

    Returns:
        (H, W) row and column in the zone's pixels, from northing 0 and easting 0; the smallest
        integer where the centre has no place in the zone.

    """
    height, width = grid.shape
    at_rows, at_cols = _knots(height), _knots(width)
    knots = _at(grid, to_zone, *np.meshgrid(at_rows, at_cols, indexing="ij"))
    middles = np.meshgrid(_between(at_rows), _between(at_cols), indexing="ij")
    off = np.abs(_at(grid, to_zone, *middles) - _between(_between(knots, axis=1), axis=2))
    if np.isfinite(knots).all() and np.isfinite(off).all():
        down, across = _interpolation(at_rows, height), _interpolation(at_cols, width)
        place = down @ knots @ across.T
        margin = 4 * off.max() + 1e-6
        unsure = (np.abs(place - np.round(place)) < margin).any(axis=0)
    else:
        place, unsure = np.empty((2, height, width)), np.ones((height, width), bool)
    place[:, unsure] = _at(grid, to_zone, *(axis.astype(float) for axis in np.nonzero(unsure)))
    reached = np.isfinite(place).all(axis=0)
    pixel = np.full(place.shape, _NOWHERE)
    pixel[:, reached] = np.floor(place[:, reached]).astype(np.int64)
    return pixel[0], pixel[1]


def _knots(length: int) -> NDArray[np.float64]:
    """Pixels from 0 to the last, no more than ``_KNOT`` apart, at least two."""
    return np.linspace(0, max(length - 1, 1), max(-(-(length - 1) // _KNOT), 1) + 1)


def _between(values: NDArray[np.float64], axis: int = 0) -> NDArray[np.float64]:
    """The means of neighbours along an axis."""
    moved = np.moveaxis(values, axis, 0)
    return np.moveaxis((moved[1:] + moved[:-1]) / 2, 0, axis)


def _interpolation(knots: NDArray[np.float64], length: int) -> NDArray[np.float64]:
    """(length, knots) weights that interpolate linearly between knots."""
    at = np.arange(length, dtype=np.float64)
    return np.column_stack([np.interp(at, knots, one) for one in np.eye(len(knots))])


def _at(
    grid: GeoBox,
    to_zone: Transformer,
    rows: NDArray[np.float64],
    cols: NDArray[np.float64],
) -> NDArray[np.float64]:
    """(2, ...) fractional row and column in the zone of the centres of pixels of a grid."""
    affine = grid.affine
    x, y = affine.c + (cols + 0.5) * affine.a, affine.f + (rows + 0.5) * affine.e
    easting, northing = to_zone.transform(x, y)
    place = np.stack([-np.asarray(northing), np.asarray(easting)]) / RESOLUTION
    place[~np.isfinite(place)] = np.nan  # PROJ says inf
    return place


def _check(out: Path, counts: NDArray[np.int64]) -> None:
    """See that every pixel has arrived: GDAL may lose a tile on a full disk when it closes a file.

    Raises:
        OSError: one has not.

    """
    found = np.zeros(256, np.int64)
    with rasterio.open(out) as dataset:
        height, width = dataset.shape
        for row in range(0, height, _TILE):
            for col in range(0, width, _CHUNK):
                window = Window(col, row, min(_CHUNK, width - col), min(_TILE, height - row))
                found += np.bincount(dataset.read(1, window=window).ravel(), minlength=256)
    if (found[:NODATA] != counts[:NODATA]).any():
        raise OSError("some pixels did not arrive on disk")
