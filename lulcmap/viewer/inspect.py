"""What the maps know of one place."""

from typing import Any

from pyproj import CRS
from rasterio.windows import Window

from lulcmap.evaluation import transformer
from lulcmap.legend import NODATA
from lulcmap.output import PROBABILITIES, QUALITY
from lulcmap.viewer.maps import OpenMap, Part
from lulcmap.viewer.rasters import Raster

_WGS84 = CRS.from_epsg(4326)

_LIKELY = 3
"""Classes whose probabilities are told."""


def pixel_at(one: OpenMap, lon: float, lat: float) -> dict[str, Any] | None:
    """What a map knows of a place, as plain JSON values; None outside it.

    Args:
        one: the map.
        lon: longitude, degrees on WGS 84.
        lat: latitude, degrees.

    Returns:
        The value and the name of its class (None: no class); where the map has layers, confidence
        and margin in percent, the counts of scenes, what the pixel was mapped from, and the
        likeliest classes.

    """
    for part in one.parts:
        place = _place(part, lon, lat)
        if place is None:
            continue
        value = _values(part.raster, place)[0]
        known = int(value) if value is not None and value < NODATA else None
        names = {cover.id: cover.name for cover in one.legend}
        pixel: dict[str, Any] = {
            "value": known,
            "class": names.get(known, f"class {known}") if known is not None else None,
        }
        if known is None:
            return pixel
        if QUALITY in part.layers:
            pixel |= _quality(part.layers[QUALITY], place)
        if PROBABILITIES in part.layers:
            shares = zip(one.legend, _values(part.layers[PROBABILITIES], place), strict=False)
            likely = sorted(
                ((share, cover.name) for cover, share in shares if share is not None), reverse=True
            )
            pixel["likely"] = [
                {"class": name, "percent": share} for share, name in likely[:_LIKELY]
            ]
        return pixel
    return None


def _place(part: Part, lon: float, lat: float) -> tuple[int, int] | None:
    """Row and column of a place in a file; None outside it."""
    x, y = transformer(_WGS84, part.crs).transform(lon, lat)
    if part.crs.is_geographic:
        west = part.transform.c
        x = (x - west) % 360 + west
    col, row = ~part.transform * (x, y)
    height, width = part.shape
    if not (0 <= row < height and 0 <= col < width):  # also where it is not finite
        return None
    return int(row), int(col)


def _values(raster: Raster, place: tuple[int, int]) -> list[int | None]:
    """Value of each band at a pixel; None for nodata."""
    row, col = place
    with raster.opened() as dataset:
        values = dataset.read(window=Window(col, row, 1, 1)).ravel().tolist()
        nodata = dataset.nodata
    return [None if value == nodata else int(value) for value in values]


def _quality(raster: Raster, place: tuple[int, int]) -> dict[str, Any]:
    """Confidence, margin, counts of scenes and origin, by the names of their bands."""
    with raster.opened() as dataset:
        bands, tags = list(dataset.descriptions), dataset.tags(len(dataset.descriptions))
    found: dict[str, Any] = dict(zip(bands, _values(raster, place), strict=True))
    origins = tags.get("flag_meanings", "").split()
    origin = found.pop("origin", None)
    if origin is not None and origin < len(origins):
        found["origin"] = origins[origin]
    return {name: value for name, value in found.items() if name and value is not None}
