"""A finished map, read back."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError

from lulcmap.errors import UsageError
from lulcmap.legend import CLASS_TAG, LandCover, cf_attributes
from lulcmap.system import GDAL_OPTIONS, as_xarray, open_geotiff

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True)
class FinishedMap:
    """A map in memory."""

    classes: NDArray[np.uint8]
    """(H, W) ids of the legend, 255 nodata."""

    grid: GeoBox
    """Grid of the map."""

    legend: tuple[LandCover, ...]
    """The classes."""

    def to_xarray(self) -> "xarray.DataArray":
        """A DataArray with CF ``flag_values`` and ``flag_meanings``.

        Raises:
            UsageError: xarray is not installed.

        """
        variables = {"land_cover": (self.classes, cf_attributes(self.legend))}
        return as_xarray(self.grid, variables)["land_cover"]


def read_map(path: Path) -> FinishedMap:
    """A map that lulcmap made, whole.

    Args:
        path: path of the COG.

    Raises:
        UsageError: the file is no map of lulcmap.

    """
    try:
        with rasterio.Env(**GDAL_OPTIONS), open_geotiff(path) as dataset:
            names = {
                int(tag.removeprefix(CLASS_TAG)): name
                for tag, name in dataset.tags(1).items()
                if tag.startswith(CLASS_TAG)
            }
            palette = dataset.colormap(1) if names else {}
            legend = tuple(
                LandCover(number, name, "{:02X}{:02X}{:02X}".format(*palette[number]))
                for number, name in sorted(names.items())
            )
            classes, grid = dataset.read(1), GeoBox(dataset.shape, dataset.transform, dataset.crs)
    except (RasterioError, ValueError, KeyError) as error:
        raise UsageError(f"{path} cannot be read as a map of lulcmap ({error}).") from error
    if not legend:
        raise UsageError(f"{path} has no class names: lulcmap did not make it.")
    return FinishedMap(classes, grid, legend)
