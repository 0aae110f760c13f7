"""What the page of some maps is told and may ask."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import shapely
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lulcmap.errors import UsageError
from lulcmap.legend import NODATA
from lulcmap.products import NamedRegions
from lulcmap.viewer.areas import areas_within, view_box
from lulcmap.viewer.files import page_routes
from lulcmap.viewer.inspect import pixel_at
from lulcmap.viewer.maps import OpenMap, Picture, united
from lulcmap.viewer.tiles import Tile, check_tile, class_tile, packed, picture_tile

KEPT = {"Cache-Control": "private, max-age=3600"}
"""Tiles: the file is opened once, and the address changes with every start."""

_OUTLINE_STEPS = 4000
"""An outline drawn on the screen is simplified to the size of the regions by this."""


@dataclass(frozen=True)
class Site:
    """Everything that was opened."""

    maps: tuple[OpenMap, ...]
    """The maps."""

    pictures: tuple[Picture, ...] = ()
    """The composites, each mix by itself."""

    regions: NamedRegions | None = None
    """Regions that are drawn; None for none."""

    basemap: str | None = None
    """URL of the tiles below all, with ``{z}``, ``{x}`` and ``{y}``; None for none."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader has to know, in sentences."""
        own = () if self.regions is None else self.regions.notes
        return tuple(dict.fromkeys((*(note for one in self.maps for note in one.notes), *own)))

    def to_json(self) -> dict[str, Any]:
        """What the page is told at first, as plain JSON values."""
        return {
            "maps": [map_json(one) for one in self.maps],
            "pictures": [
                {"label": one.label, "bounds": one.bounds, "max_zoom": one.max_zoom}
                for one in self.pictures
            ],
            "bounds": united([one.bounds for one in self.maps]),
            "regions": self.regions is not None,
            "basemap": self.basemap,
            "notes": list(self.notes),
        }

    @cached_property
    def outlines(self) -> dict[str, Any]:
        """The regions as GeoJSON, simplified for the screen."""
        if self.regions is None:
            return {"type": "FeatureCollection", "features": []}
        shapes = self.regions.degrees
        west, south, east, north = shapely.total_bounds(shapes)
        simple = shapely.simplify(shapes, max(east - west, north - south) / _OUTLINE_STEPS)
        return {
            "type": "FeatureCollection",
            "features": [
                {
                    "type": "Feature",
                    "properties": {"name": name},
                    "geometry": json.loads(shapely.to_geojson(shape)),
                }
                for name, shape in zip(self.regions.names, simple, strict=True)
            ],
        }


def map_json(one: OpenMap) -> dict[str, Any]:
    """What the page is told of a map, as plain JSON values."""
    facts: list[tuple[str, str]] = []
    title = one.label
    if one.report is not None:
        report = one.report
        title = report.title
        facts = [
            ("Period", " to ".join(report.period)),
            ("Model", report.model.name),
            ("Mapped", f"{report.coverage:.2%} of the area"),
            ("Data", report.attribution),
        ]
        if report.observed is not None:
            facts.insert(1, ("Scenes", " to ".join(day[:10] for day in report.observed)))
    return {
        "label": one.label,
        "title": title,
        "bounds": one.bounds,
        "max_zoom": max(part.max_zoom for part in one.parts),
        "legend": [
            {"id": cover.id, "name": cover.name, "colour": f"#{cover.colour}"}
            for cover in one.legend
        ],
        "facts": facts,
    }


def map_tile(one: OpenMap, tile: Tile) -> np.ndarray:
    """(256, 256) values of a map, of its first part that has one."""
    values = class_tile(one.parts[0].raster, tile)
    for part in one.parts[1:]:
        empty = values == NODATA
        if not empty.any():
            break
        values[empty] = class_tile(part.raster, tile)[empty]
    return values


def site_routes(site: Site) -> list[Route]:
    """Routes of the page and of what it asks."""

    def about(request: Request) -> Response:  # noqa: ARG001 - as Starlette calls it
        return JSONResponse(site.to_json())

    def outlines(request: Request) -> Response:  # noqa: ARG001 - likewise
        return JSONResponse(site.outlines)

    def tile(request: Request) -> Response:
        values = map_tile(_chosen(site.maps, request, "map"), _tile(request))
        headers = {**KEPT, "Content-Encoding": "deflate"}
        return Response(packed(values), headers=headers, media_type="application/octet-stream")

    def picture(request: Request) -> Response:
        one = _chosen(site.pictures, request, "picture")
        drawn = picture_tile(one.raster, _tile(request), one.bands, one.stretch)
        return Response(drawn, 204 if drawn is None else 200, headers=KEPT, media_type="image/png")

    def pixel(request: Request) -> Response:
        lon, lat = (_number(request, name) for name in ("lon", "lat"))
        return JSONResponse([pixel_at(one, lon, lat) for one in site.maps])

    def areas(request: Request) -> Response:
        one = _chosen(site.maps, request, "map")
        return JSONResponse(areas_within(one, _outline(site, request)).to_json(one))

    def route(path: str, answer: Callable[[Request], Response]) -> Route:
        return Route(f"/api/{path}", answer)

    return [
        *page_routes("index.html"),
        route("site", about),
        route("regions", outlines),
        route("tiles/{map:int}/{z:int}/{x:int}/{y:int}", tile),
        route("pictures/{picture:int}/{z:int}/{x:int}/{y:int}", picture),
        route("pixel", pixel),
        route("areas/{map:int}", areas),
    ]


def basemap_origin(url: str) -> str:
    """The origin of a base map, such as ``https://tile.example.org``.

    Raises:
        UsageError: the URL is none of tiles.

    """
    try:
        parts = urlsplit(url)
        port = "" if parts.port is None else f":{parts.port}"
        host = parts.hostname or ""
    except ValueError:
        host = ""
    plain = host and all(one.isascii() and (one.isalnum() or one in ".-") for one in host)
    if (
        not plain
        or not url.isprintable()
        or parts.scheme not in ("http", "https")
        or "@" in parts.netloc
        or not all(key in url for key in ("{z}", "{x}", "{y}"))
    ):
        raise UsageError(
            f"--basemap is {url}; it takes the URL of tiles with {{z}}, {{x}} and {{y}} on one "
            "host, such as https://tile.openstreetmap.org/{z}/{x}/{y}.png."
        )
    return f"{parts.scheme}://{host}{port}"


def _chosen(things: Sequence[Any], request: Request, name: str) -> Any:
    number = request.path_params[name]
    if number >= len(things):
        raise UsageError(f"There is no {name} {number}; there are {len(things)}.")
    return things[number]


def _tile(request: Request) -> Tile:
    return check_tile(*(request.path_params[name] for name in ("z", "x", "y")))


def _number(request: Request, name: str) -> float:
    text = request.query_params.get(name, "")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{name} is {text[:30]!r}; it takes a number of degrees.")
    return value


def _outline(site: Site, request: Request) -> shapely.Geometry:
    """The outline that a request names: a region, or a view."""
    number = request.query_params.get("region")
    if number is None:
        west, south, east, north = (
            _number(request, name) for name in ("west", "south", "east", "north")
        )
        return view_box((west, south, east, north))
    shapes = () if site.regions is None else site.regions.degrees
    if not (number.isascii() and number.isdecimal() and int(number) < len(shapes)):
        raise UsageError(f"There is no region {number[:30]!r}.")
    return shapes[int(number)]
