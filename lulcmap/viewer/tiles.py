"""Tiles of 256 pixels in Web Mercator, read from the overviews of a raster."""

import math
import threading
import warnings
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from rio_tiler.errors import NoOverviewWarning, RioTilerError
from rio_tiler.io import Reader
from rio_tiler.utils import render

from lulcmap.errors import UsageError
from lulcmap.geo import first_line
from lulcmap.legend import NODATA
from lulcmap.viewer.rasters import Raster

TILE_PX = 256
"""Side of a tile, pixels."""

MAX_ZOOM = 24
"""Zoom beyond which there are no tiles."""

_EQUATOR_M = 2 * math.pi * 6_378_137
"""Width of the world in Web Mercator, metres."""

_MERCATOR, _DEGREES = CRS.from_epsg(3857), CRS.from_epsg(4326)

_TOLERANCE_PX = 0.01
"""Pixels of the raster by which places may be off; GDAL's default is an eighth."""

_QUIET = threading.Lock()

_COARSER = 1.2
"""Pixels of a tile by which those of an overview may be larger."""

_MAX_LAT = 85.05
"""Latitude at which Web Mercator ends, degrees."""

Tile = tuple[int, int, int]
"""Zoom, column and row."""


def check_tile(zoom: int, x: int, y: int) -> Tile:
    """A tile that exists.

    Raises:
        UsageError: there is none of these numbers.

    """
    if not (0 <= zoom <= MAX_ZOOM and 0 <= x < 2**zoom and 0 <= y < 2**zoom):
        raise UsageError(f"There is no tile {zoom}/{x}/{y}; zooms are 0 to {MAX_ZOOM}.")
    return zoom, x, y


def class_tile(raster: Raster, tile: Tile, *, band: int = 1) -> NDArray[np.uint8]:
    """(256, 256) values of a band of a class map, or of a layer of it, 255 where it has none.

    Each is that of the pixel its centre lies in, of the file or of the overview that is as fine as
    the tile.
    """
    image = _read(raster, tile, [band], resampling="nearest")
    if image is None:
        return np.full((TILE_PX, TILE_PX), NODATA, np.uint8)
    return image.array[0].astype(np.uint8).filled(NODATA)


def packed(values: NDArray[np.uint8]) -> bytes:
    """A tile of classes for the page: its bytes, row by row, compressed by zlib."""
    return zlib.compress(values.tobytes(), 1)


def picture_tile(
    raster: Raster,
    tile: Tile,
    bands: Sequence[int],
    stretch: tuple[float, float],
    *,
    form: str = "PNG",
) -> bytes | None:
    """A tile of three bands as a picture, transparent where one has no data; None if all are.

    Args:
        raster: the raster.
        tile: the tile.
        bands: numbers of the bands shown as red, green and blue.
        stretch: values that become black and white.
        form: format of the picture, ``"PNG"`` or ``"WEBP"``.

    """
    image = _read(raster, tile, bands, resampling="bilinear")
    if image is None:
        return None
    valid: NDArray[np.bool_] = np.logical_not(np.ma.getmaskarray(image.array).any(axis=0))
    if not valid.any():
        return None
    low, high = stretch
    shares = ((image.data.astype(np.float32) - low) / max(high - low, 1e-6)).clip(0, 1)
    colours = (255 * shares ** (1 / _GAMMA)).round().astype(np.uint8)
    return bytes(render(colours, np.where(valid, np.uint8(255), np.uint8(0)), img_format=form))


_GAMMA = 1.5
"""Gamma that brightens the shadows for a screen, as in the preview of a map."""


def _read(raster: Raster, tile: Tile, bands: Sequence[int], *, resampling: Any) -> Any:
    """The tile's image; None where the raster does not reach."""
    zoom, x, y = tile
    size = _EQUATOR_M / 2**zoom
    grid = from_origin(x * size - _EQUATOR_M / 2, _EQUATOR_M / 2 - y * size, *[size / TILE_PX] * 2)
    # rio-tiler would warp at the raster's own resolution, and take every n-th pixel of that.
    options = {"transform": grid, "width": TILE_PX, "height": TILE_PX, "tolerance": _TOLERANCE_PX}
    with raster.opened(_overview(raster, size / TILE_PX)) as dataset:
        try:
            with _QUIET, warnings.catch_warnings():  # filters are those of all threads
                warnings.simplefilter("ignore", NoOverviewWarning)  # told at the start
                reader = Reader(None, dataset=dataset)
            return reader.tile(
                x,
                y,
                zoom,
                tilesize=TILE_PX,
                indexes=list(bands),
                nodata=NODATA if dataset.nodata is None else None,
                reproject_method=resampling,
                vrt_options=options,
            )
        except RioTilerError:
            return None
        except ValueError as error:
            raise UsageError(f"{raster.path} cannot be shown ({first_line(error)}).") from error


def _overview(raster: Raster, size: float) -> int | None:
    """Number of the overview that is about as fine as a tile; None for the raster itself.

    Args:
        raster: the raster.
        size: side of a pixel of the tile, metres of Web Mercator.

    """
    if raster.pyramid is None:
        with raster.opened() as dataset:
            raster.pyramid = _pixel_size(dataset), tuple(map(int, dataset.overviews(1)))
    own, factors = raster.pyramid
    fitting = [number for number, factor in enumerate(factors) if own * factor <= _COARSER * size]
    return max(fitting, default=None)


def degree_bounds(dataset: Any) -> tuple[float, float, float, float]:
    """West, south, east and north of a raster in degrees, cut where Web Mercator ends."""
    west, south, east, north = transform_bounds(dataset.crs, _DEGREES, *dataset.bounds)
    if east < west:  # across 180 degrees
        east += 360
    return west, max(south, -_MAX_LAT), east, min(north, _MAX_LAT)


def finest_zoom(dataset: Any) -> int:
    """The zoom at which a pixel of a tile is as small as one of the raster, or smaller."""
    exact = math.log2(_EQUATOR_M / TILE_PX / _pixel_size(dataset))
    return min(max(math.ceil(exact - 0.1), 0), MAX_ZOOM)


def _pixel_size(dataset: Any) -> float:
    """Side of a pixel of a raster, metres of Web Mercator."""
    west, south, east, north = transform_bounds(dataset.crs, _MERCATOR, *dataset.bounds)
    height, width = dataset.shape
    return math.sqrt(max((east - west) * (north - south), 1e-9) / (height * width))
