"""Tiles of 256 pixels in Web Mercator, read from the overviews of a raster."""

import math
import threading
import warnings
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numpy.typing import NDArray
from PIL import Image
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform_bounds
from rio_tiler.errors import NoOverviewWarning, RioTilerError
from rio_tiler.io import Reader

from lulcmap.errors import UsageError
from lulcmap.evaluation import transformer
from lulcmap.geo import first_line, understood_crs
from lulcmap.legend import NODATA
from lulcmap.viewer.rasters import Raster

TILE_PX = 256
"""Side of a tile, pixels."""

MAX_ZOOM = 24
"""Zoom beyond which there are no tiles."""

_RADIUS_M = 6_378_137
"""Radius of the sphere of Web Mercator, metres."""

_EQUATOR_M = 2 * math.pi * _RADIUS_M
"""Width of the world in Web Mercator, metres."""

_MERCATOR, _DEGREES = CRS.from_epsg(3857), CRS.from_epsg(4326)

_WGS84 = pyproj.CRS.from_epsg(4326)

_TOLERANCE_PX = 0.01
"""Pixels of the raster by which places may be off; GDAL's default is an eighth."""

_QUIET = threading.Lock()

_COARSER = 1.2
"""Pixels of a tile by which those of an overview may be larger."""

_MAX_LAT = 85.05
"""Latitude at which Web Mercator ends, degrees."""

_PLACES = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the height and of the width of a raster at which its pixels are measured."""

Bounds = tuple[float, float, float, float]
"""West, south, east and north, degrees; east may lie beyond 180."""

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
    values = _read(raster, tile, [band], resampling="nearest", nodata=NODATA)
    if values is None:
        return np.full((TILE_PX, TILE_PX), NODATA, np.uint8)
    classes: NDArray[np.uint8] = values[0].astype(np.uint8).filled(NODATA)
    return classes


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
    values = _read(raster, tile, bands, resampling="bilinear")
    if values is None:
        return None
    valid: NDArray[np.bool_] = np.logical_not(np.ma.getmaskarray(values).any(axis=0))
    if not valid.any():
        return None
    return drawn(values.data, valid, stretch, form=form)


def drawn(
    values: NDArray[Any], valid: NDArray[np.bool_], stretch: tuple[float, float], *, form: str
) -> bytes:
    """A picture of red, green and blue (3, H, W), transparent where ``valid`` is False."""
    low, high = stretch
    shares = ((values.astype(np.float32) - low) / max(high - low, 1e-6)).clip(0, 1)
    colours = (255 * shares ** (1 / _GAMMA)).round().astype(np.uint8)
    alpha = np.where(valid, np.uint8(255), np.uint8(0))
    picture = BytesIO()
    # GDAL would warn that a tile has no place, and threads share the filter of warnings.
    Image.fromarray(np.dstack((*colours, alpha))).save(picture, form, quality=_WEBP_QUALITY)
    return picture.getvalue()


_WEBP_QUALITY = 75
"""Quality of a WebP picture, 0 to 100; its alpha and a PNG are exact."""

_GAMMA = 1.5
"""Gamma that brightens the shadows for a screen, as in the preview of a map."""


def _read(
    raster: Raster, tile: Tile, bands: Sequence[int], *, resampling: Any, nodata: int | None = None
) -> Any:
    """(bands, 256, 256) masked values of a tile; None where the raster does not reach.

    Args:
        raster: the raster.
        tile: the tile.
        bands: numbers of the bands.
        resampling: how pixels are chosen.
        nodata: value of no data in a raster that states none.

    """
    values = None
    with raster.opened(_overview(raster, _EQUATOR_M / 2 ** tile[0] / TILE_PX)) as dataset:
        for turn in _turns(dataset, tile):
            try:
                found = _warped(dataset, tile, bands, turn, resampling=resampling, nodata=nodata)
            except RioTilerError:
                continue
            except ValueError as error:
                raise UsageError(f"{raster.path} cannot be shown ({first_line(error)}).") from error
            if values is None:
                values = found
            else:
                empty = np.ma.getmaskarray(values)
                values[empty] = found[empty]
    return values


def _turns(dataset: Any, tile: Tile) -> list[int]:
    """Degrees by which a raster is turned around the world to lie on a tile.

    GDAL knows one of the two longitudes of a place, so that degrees beyond 180 lie nowhere for it.
    """
    west, _, east, _ = dataset.bounds
    if not dataset.crs.is_geographic or (west >= -180 and east <= 180):
        return [0]
    zoom, x, _ = tile
    left, right = (360 * column / 2**zoom - 180 for column in (x, x + 1))
    return [turn for turn in (0, -360, 360) if west + turn < right and east + turn > left]


def _warped(
    dataset: Any,
    tile: Tile,
    bands: Sequence[int],
    turn: int,
    *,
    resampling: Any,
    nodata: int | None,
) -> Any:
    """(bands, 256, 256) masked values of a dataset on a tile, turned by some degrees."""
    zoom, x, y = tile
    size = _EQUATOR_M / 2**zoom
    left, top = x * size - _EQUATOR_M / 2, _EQUATOR_M / 2 - y * size
    grid = from_origin(left, top, *[size / TILE_PX] * 2)
    # rio-tiler would warp at the raster's own resolution, and take every n-th pixel of that.
    options = {"transform": grid, "width": TILE_PX, "height": TILE_PX, "tolerance": _TOLERANCE_PX}
    asked = {
        "indexes": list(bands),
        "nodata": nodata if dataset.nodata is None else None,
        "reproject_method": resampling,
    }
    with _QUIET, warnings.catch_warnings():  # filters are those of all threads
        warnings.simplefilter("ignore", NoOverviewWarning)  # told at the start
        reader = Reader(None, dataset=dataset)
    if not turn:
        return reader.tile(x, y, zoom, tilesize=TILE_PX, vrt_options=options, **asked).array
    options["src_transform"] = Affine.translation(turn, 0) * dataset.transform
    return reader.part(
        (left, top - size, left + size, top),
        dst_crs=_MERCATOR,
        bounds_crs=_MERCATOR,
        height=TILE_PX,
        width=TILE_PX,
        vrt_options=options,
        **asked,
    ).array


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


def degree_bounds(dataset: Any) -> Bounds:
    """West, south, east and north of a raster in degrees; east may lie beyond 180."""
    west, south, east, north = transform_bounds(dataset.crs, _DEGREES, *dataset.bounds)
    if east < west:  # across 180 degrees
        east += 360
    return west, south, east, north


def shown_bounds(bounds: Bounds, path: Path) -> Bounds:
    """Bounds in degrees of a file, cut where Web Mercator ends.

    Raises:
        UsageError: nothing is left.

    """
    west, south, east, north = bounds
    if south >= _MAX_LAT or north <= -_MAX_LAT:
        raise UsageError(
            f"{path} lies beyond {_MAX_LAT} degrees, where Web Mercator and so the page end. Open "
            "it in QGIS."
        )
    return west, max(south, -_MAX_LAT), east, min(north, _MAX_LAT)


def finest_zoom(dataset: Any) -> int:
    """The zoom at which a pixel of a tile is as small as one of the raster, or smaller.

    Raises:
        UsageError: the raster lies outside its CRS.

    """
    exact = math.log2(_EQUATOR_M / TILE_PX / _pixel_size(dataset))
    return min(max(math.ceil(exact - 0.1), 0), MAX_ZOOM)


def _pixel_size(dataset: Any) -> float:
    """Side of a pixel of a raster, metres of Web Mercator: the median of some.

    Measured on a sphere: bounds in Web Mercator are those of the world where a raster crosses 180
    degrees, or a pole.
    """
    height, width = dataset.shape
    rows, cols = (size * np.array(_PLACES) for size in (height, width))
    cols, rows = (one.ravel() for one in np.meshgrid(cols, rows))
    places = [
        dataset.transform * (cols + right, rows + down) for right, down in ((0, 0), (1, 0), (0, 1))
    ]
    lon, lat = transformer(understood_crs(dataset.crs.to_wkt()), _WGS84).transform(
        *np.hstack(places)
    )
    lon, lat = np.radians(lon).reshape(3, -1), np.radians(lat).reshape(3, -1)
    at = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)
    areas = np.linalg.norm(np.cross(at[1] - at[0], at[2] - at[0]), axis=-1)
    known = np.isfinite(areas) & (areas > 0)
    if not known.any():
        raise UsageError(f"{dataset.name} lies outside its CRS.")
    scales = np.cos(np.minimum(np.abs(lat[0]), math.radians(_MAX_LAT)))
    return float(np.median(_RADIUS_M * np.sqrt(areas[known]) / scales[known]))
