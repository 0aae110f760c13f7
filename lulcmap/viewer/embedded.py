"""The data that an exported page carries within itself."""

import base64
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.output import QUALITY
from lulcmap.system import Progress
from lulcmap.viewer.areas import areas_within
from lulcmap.viewer.maps import OpenMap, Part, Picture
from lulcmap.viewer.site import Site, map_json, map_tile
from lulcmap.viewer.tiles import TILE_PX, Bounds, Tile, class_tile, packed, picture_tile

_PLANES = ("confidence", "margin", "s2_count", "s1_count", "origin")
"""Bands of the layer of quality that a page keeps."""


def kept_zooms(one: OpenMap | Picture) -> range:
    """Zooms at which a layer is kept: from one or a few tiles to every pixel."""
    west, south, east, north = one.bounds
    widest = max(east - west, north - south, 1e-6)
    least = max(math.floor(math.log2(360 / widest)), 0)
    most = one.max_zoom if isinstance(one, Picture) else max(p.max_zoom for p in one.parts)
    return range(min(least, most), most + 1)


def pyramid(bounds: Bounds, zooms: range) -> Iterator[Tile]:
    """Tiles of some zooms that touch an extent."""
    west, south, east, north = bounds
    for zoom in zooms:
        side = 2**zoom
        left, right = (math.floor((lon + 180) / 360 * side) for lon in (west, east))
        top, foot = (
            min(max(math.floor(_from_top(lat) * side), 0), side - 1) for lat in (north, south)
        )
        columns = dict.fromkeys(x % side for x in range(left, right + 1))
        for y in range(top, foot + 1):
            yield from ((zoom, x, y) for x in columns)


def _from_top(lat: float) -> float:
    """How far down a latitude lies in the world of Web Mercator, 0 to 1."""
    return 0.5 - math.atanh(math.sin(math.radians(lat))) / (2 * math.pi)


def page_data(site: Site, count: int, progress: Progress) -> dict[str, Any]:
    """Everything that a page shows, as plain JSON values.

    Args:
        site: what was opened.
        count: tiles of all layers.
        progress: called with a stage's name, how many tiles are done, and how many there are.

    """
    tiles: dict[str, str] = {}
    pictures: dict[str, str] = {}
    about = site.to_json()
    done = 0
    for number, one in enumerate(site.maps):
        zooms, planes = kept_zooms(one), _planes(one.parts)
        about["maps"][number] = {
            **map_json(one),
            "min_zoom": zooms[0],
            "planes": list(planes.values()),
        }
        for tile in pyramid(one.bounds, zooms):
            values = map_tile(one, tile)
            if (values != NODATA).any():
                tiles[_key(number, "class", *tile)] = _text(packed(values))
                if tile[0] == zooms[-1]:
                    for band, plane in planes.items():
                        found = _plane_tile(one.parts, band, tile)
                        tiles[_key(number, plane["name"], *tile)] = _text(packed(found))
            done += 1
            progress("exporting", done, count)
    for number, picture in enumerate(site.pictures):
        zooms = kept_zooms(picture)
        about["pictures"][number]["min_zoom"] = zooms[0]
        for tile in pyramid(picture.bounds, zooms):
            drawn = picture_tile(picture.raster, tile, picture.bands, picture.stretch, form="WEBP")
            if drawn is not None:
                pictures[_key(number, *tile)] = _text(drawn)
            done += 1
            progress("exporting", done, count)
    return {
        "site": about,
        "regions": site.outlines,
        "region_areas": [
            [areas_within(one, shape).to_json(one) for one in site.maps]
            for shape in (() if site.regions is None else site.regions.degrees)
        ],
        "tiles": tiles,
        "pictures": pictures,
    }


def _planes(parts: Sequence[Part]) -> dict[int, dict[str, Any]]:
    """Bands of the layer of quality that a page keeps, by number: their names and meanings."""
    layer = next((part.layers[QUALITY] for part in parts if QUALITY in part.layers), None)
    if layer is None:
        return {}
    planes: dict[int, dict[str, Any]] = {}
    with layer.opened() as dataset:
        for band, name in enumerate(dataset.descriptions, 1):
            if name in _PLANES:
                meanings = dataset.tags(band).get("flag_meanings", "").split()
                planes[band] = {"name": name, **({"meanings": meanings} if meanings else {})}
    return planes


def _plane_tile(parts: Sequence[Part], band: int, tile: Tile) -> NDArray[np.uint8]:
    """(256, 256) values of a band of the layer of quality."""
    values = np.full((TILE_PX, TILE_PX), NODATA, np.uint8)
    for part in parts:
        if QUALITY in part.layers:
            own = class_tile(part.layers[QUALITY], tile, band=band)
            values = np.where(values == NODATA, own, values)
    return values


def _key(*parts: object) -> str:
    return "/".join(map(str, parts))


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
