"""GDAL options for the files lulcmap writes and reads back: blocks, mosaics, COGs."""

from collections.abc import Mapping
from typing import Any

GDAL_OPTIONS: Mapping[str, Any] = {
    "GDAL_CACHEMAX": 64 * 2**20,  # bytes; GDAL's default is 5 % of the machine
    # Do not list a folder of many blocks for each block; and ignore sidecar files that an older
    # map left beside a new one.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",  # everything is in the file, nothing in an .aux.xml file
}
"""Options for ``rasterio.Env``."""
