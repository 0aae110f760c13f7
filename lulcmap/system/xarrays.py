"""Arrays on a grid as an xarray Dataset; needs the extra ``xarray``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lulcmap.errors import UsageError

if TYPE_CHECKING:
    import xarray


def as_xarray(
    grid: GeoBox,
    variables: Mapping[str, tuple[NDArray[Any], Mapping[str, Any]]],
    *,
    bands: Mapping[str, tuple[str, ...]] | None = None,
) -> "xarray.Dataset":
    """A Dataset with coordinates of pixel centres and a CF grid mapping, ``spatial_ref``.

    Args:
        grid: grid of the variables, (H, W).
        variables: by name, values (H, W) or (bands, H, W), and attributes.
        bands: band names of each variable that has several bands, by the variable's name.

    Raises:
        UsageError: xarray is not installed.

    """
    try:
        import xarray
        from odc.geo.xr import xr_coords
    except ImportError:
        raise UsageError(
            "xarray is not installed. Install it: pip install 'lulcmap[xarray]'."
        ) from None
    coords = xr_coords(grid)
    dims = tuple(grid.dimensions)
    arrays = {}
    for name, (values, attributes) in variables.items():
        names = (bands or {}).get(name)
        arrays[name] = xarray.DataArray(
            values,
            dims=dims if names is None else (f"{name}_band", *dims),
            coords=coords if names is None else {**coords, f"{name}_band": list(names)},
            attrs={**attributes, "grid_mapping": "spatial_ref"},
        )
    return xarray.Dataset(arrays)
