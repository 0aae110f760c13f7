"""The door for users' rasters: local GeoTIFFs, by GDAL's driver of that name only."""

from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioIOError

from lulcmap.system.proj import check_proj


def open_geotiff(path: Path, *, overview: int | None = None) -> Any:
    """A GeoTIFF, opened for reading with rasterio.

    GDAL would also open rasters that name other files or servers (VRT, WMS), and prefixes and
    protocols in the path. Overviews and masks are not to be asked of the dataset: files beside it
    may send GDAL elsewhere for them.

    Args:
        path: path of a file.
        overview: number of an overview in the file to read instead of it, 0 the finest.

    Raises:
        RasterioIOError: it is no file, or no GeoTIFF.
        UsageError: PROJ cannot be used.

    """
    check_proj()
    if not path.is_file():
        raise RasterioIOError(f"{path}: No such file")
    options = {} if overview is None else {"overview_level": overview}
    return rasterio.open(path.absolute(), driver="GTiff", **options)
