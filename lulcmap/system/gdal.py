"""How GDAL is set for the files lulcmap writes and reads back: blocks, joined maps, COGs."""

from collections.abc import Mapping
from typing import Any

GDAL_OPTIONS: Mapping[str, Any] = {
    "GDAL_CACHEMAX": 64 * 2**20,  # bytes; GDAL's default is 5 % of the machine
    # Do not list a folder of many blocks for each block; and a side file of an older map beside a
    # new one is not the new one's.
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_PAM_ENABLED": "NO",  # everything is in the file, nothing in an .aux.xml beside it
}
"""Options for ``rasterio.Env``."""
