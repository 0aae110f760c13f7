"""The data that an exported page carries: within itself, or beside itself."""

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lulcmap.legend import NODATA
from lulcmap.output import QUALITY
from lulcmap.system import threads
from lulcmap.viewer.areas import areas_within
from lulcmap.viewer.maps import OpenMap, Part, Picture
from lulcmap.viewer.site import Site, map_json, map_tile
from lulcmap.viewer.tiles import MAX_ZOOM, TILE_PX, Bounds, Tile, class_tile, packed, picture_tile

_PLANES = ("confidence", "margin", "s2_count", "s1_count", "origin")
"""Bands of the layer of quality that a page keeps."""


CHUNK = 8
"""Tiles a side of the squares that are made one after the other."""


@dataclass(frozen=True, slots=True)
class KeptTiles:
    """What a page keeps of one tile of a map or picture."""

    layer: str
    """The map or picture: its kind and number, such as ``"tiles/0"`` or ``"pictures/1"``."""

    tile: Tile
    """The tile."""

    contents: dict[str, bytes]
    """What is kept: of a map, values packed for the page by their name, ``"class"`` the first; of a
    picture, ``"webp"``; nothing where there is no data."""


def kept_zooms(one: OpenMap | Picture, max_zoom: int = MAX_ZOOM) -> range:
    """Zooms at which a layer is kept: from one or a few tiles to every pixel.

    Args:
        one: the map or picture.
        max_zoom: finest zoom that is kept.

    """
    west, south, east, north = one.bounds
    widest = max(east - west, north - south, 1e-6)
    least = max(math.floor(math.log2(360 / widest)), 0)
    most = min(finest_zoom_of(one), max_zoom)
    return range(min(least, most), most + 1)


def finest_zoom_of(one: OpenMap | Picture) -> int:
    """Zoom at which each pixel of a layer is shown."""
    return one.max_zoom if isinstance(one, Picture) else max(part.max_zoom for part in one.parts)


def tile_count(bounds: Bounds, zooms: range) -> int:
    """How many tiles of some zooms touch an extent."""
    spans = [_span(bounds, zoom) for zoom in zooms]
    return sum(len(columns) * len(rows) for columns, rows in spans)


def pyramid(bounds: Bounds, zooms: range) -> Iterator[Tile]:
    """Tiles of some zooms that touch an extent, those of each square of ``CHUNK`` together."""
    for zoom in zooms:
        columns, rows = _span(bounds, zoom)
        for left, top in product(_chunks(columns), _chunks(rows)):
            yield from ((zoom, x, y) for y in top for x in left)


def _span(bounds: Bounds, zoom: int) -> tuple[list[int], list[int]]:
    """Columns and rows of the tiles of a zoom that touch an extent."""
    west, south, east, north = bounds
    side = 2**zoom
    left, right = (math.floor((lon + 180) / 360 * side) for lon in (west, east))
    top, foot = (min(max(math.floor(_from_top(lat) * side), 0), side - 1) for lat in (north, south))
    columns = sorted({x % side for x in range(left, right + 1)})
    return columns, list(range(top, foot + 1))


def _chunks(numbers: list[int]) -> list[list[int]]:
    return [list(some) for _, some in groupby(numbers, lambda number: number // CHUNK)]


def _from_top(lat: float) -> float:
    """How far down a latitude lies in the world of Web Mercator, 0 to 1."""
    return 0.5 - math.atanh(math.sin(math.radians(lat))) / (2 * math.pi)


def page_about(site: Site, max_zoom: int = MAX_ZOOM) -> dict[str, Any]:
    """Everything that an exported page shows but its tiles, as plain JSON values.

    Args:
        site: what was opened.
        max_zoom: finest zoom that is kept.

    """
    about = site.to_json()
    for number, one in enumerate(site.maps):
        zooms = kept_zooms(one, max_zoom)
        about["maps"][number] = {
            **map_json(one),
            "min_zoom": zooms[0],
            "max_zoom": zooms[-1],
            "planes": list(_planes(one.parts).values()),
        }
    for number, picture in enumerate(site.pictures):
        zooms = kept_zooms(picture, max_zoom)
        about["pictures"][number] |= {"min_zoom": zooms[0], "max_zoom": zooms[-1]}
    if any(finest_zoom_of(one) > max_zoom for one in site.maps):
        about["notes"].append(
            f"This page was exported with --max-zoom {max_zoom}: several pixels of a map are shown "
            "as one, that of an overview."
        )
    return {
        "site": about,
        "regions": site.outlines,
        "region_areas": [
            [areas_within(one, shape).to_json(one) for one in site.maps]
            for shape in (() if site.regions is None else site.regions.degrees)
        ],
    }


def kept_tiles(site: Site, max_zoom: int = MAX_ZOOM) -> Generator[KeptTiles]:
    """Every tile of every layer, in the order of ``pyramid``; threads make a few ahead.

    Args:
        site: what was opened.
        max_zoom: finest zoom that is kept.

    """
    with threads() as workers:
        for number, one in enumerate(site.maps):
            zooms, planes = kept_zooms(one, max_zoom), _planes(one.parts)
            make = partial(_map_tiles, one, f"tiles/{number}", planes, zooms[-1])
            yield from workers.ahead(make, pyramid(one.bounds, zooms))
        for number, picture in enumerate(site.pictures):
            make = partial(_picture_tiles, picture, f"pictures/{number}")
            yield from workers.ahead(make, pyramid(picture.bounds, kept_zooms(picture, max_zoom)))


def _map_tiles(
    one: OpenMap, layer: str, planes: Mapping[int, dict[str, Any]], finest: int, tile: Tile
) -> KeptTiles:
    """A tile of a map: its classes, and at the finest zoom its planes of quality."""
    values, kept = map_tile(one, tile), {}
    if (values != NODATA).any():
        kept["class"] = packed(values)
        if tile[0] == finest:
            for band, plane in planes.items():
                kept[plane["name"]] = packed(_plane_tile(one.parts, band, tile))
    return KeptTiles(layer, tile, kept)


def _picture_tiles(picture: Picture, layer: str, tile: Tile) -> KeptTiles:
    drawn = picture_tile(picture.raster, tile, picture.bands, picture.stretch, form="WEBP")
    return KeptTiles(layer, tile, {} if drawn is None else {"webp": drawn})


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
