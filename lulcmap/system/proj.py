"""PROJ's database: the one that pyproj and rasterio bring, whatever the environment says."""

import importlib.util
import os
from functools import cache
from pathlib import Path

from lulcmap.errors import UsageError

PROJ_VARIABLES = ("PROJ_LIB", "PROJ_DATA")
"""Variables that point PROJ to a database. Installers of other programs set them for everyone."""

_ignored: list[str] = []


def use_own_proj_data() -> None:
    """Leave out ``PROJ_LIB`` and ``PROJ_DATA`` where rasterio's package brings its own database.

    rasterio, unlike pyproj, would prefer theirs, and fail with that of another version. To be
    called in processes that are lulcmap's alone, before rasterio is imported.
    """
    names = [name for name in PROJ_VARIABLES if name in os.environ]
    spec = importlib.util.find_spec("rasterio") if names else None
    folders = (spec.submodule_search_locations or ()) if spec else ()
    if any((Path(folder) / "proj_data" / "proj.db").is_file() for folder in folders):
        for name in names:
            del os.environ[name]
        _ignored.extend(names)


def ignored_proj_variables() -> tuple[str, ...]:
    """Variables that ``use_own_proj_data`` left out."""
    return tuple(_ignored)


@cache
def check_proj() -> None:
    """Check that pyproj and rasterio can look up a CRS.

    Raises:
        UsageError: they cannot, since PROJ's database is missing or of another version.

    """
    try:
        import pyproj
        import rasterio.crs

        pyproj.CRS.from_epsg(32632)
        rasterio.crs.CRS.from_epsg(32632)
    except (pyproj.exceptions.ProjError, rasterio.errors.CRSError) as error:
        raise UsageError(
            f"PROJ cannot look up EPSG:32632 ({str(error).splitlines()[0].rstrip('.')}). "
            f"{proj_remedy()}"
        ) from error


def proj_remedy(names: tuple[str, ...] = PROJ_VARIABLES) -> str:
    """What to do if PROJ has no data, or those of another version.

    Args:
        names: variables that may point to them.

    """
    given = [name for name in names if os.environ.get(name)]
    if given:
        return f"{' and '.join(given)} may point to data of another version: unset and try again."
    return "Reinstall pyproj and rasterio from PyPI."
