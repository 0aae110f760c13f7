"""Malformed and extreme areas, and the outcome of `lulcmap plan` for them."""

import json
import math
import time
import traceback
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from hypothesis import strategies as st

from lulcmap.cli import main
from lulcmap.sensors import S2_BANDS
from tests.support.stubs import contract, make_model

GOOD = 0, 2, 3
"""Allowed exit codes: a plan; an area or option that is not valid; no scenes."""

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=32)
ODD = st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1e300, 1e-300, 5e-324, -0.0])
CRS = st.sampled_from(
    [
        *("EPSG:4326", "urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:3857", "EPSG:3035", "EPSG:32633"),
        *("EPSG:4258", "EPSG:2056", "EPSG:5041", "EPSG:4978", "EPSG:999999", "nonsense", "", None),
    ]
)

Points = list[list[float]]


@dataclass(frozen=True, slots=True)
class Aoi:
    """One area to plan."""

    kind: str
    """Kind of area: the strategy that drew it."""

    text: str | bytes
    """Content of the GeoJSON file, or the box."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Outcome of planning an area."""

    code: int
    """Exit code."""

    message: str
    """Message of the error, or ``"a plan"``."""

    fault: str
    """What is wrong with the outcome; empty if nothing."""

    seconds: float
    """Wall time, seconds."""


def about(lon: float, lat: float, across: float, up: float, unit: Points) -> Points:
    """Move points of the square from -1 to 1 to a place, scaled."""
    return [[lon + x * across, lat + y * up] for x, y in unit]


def closed(ring: Points) -> Points:
    return [*ring, ring[0]] if ring else ring


units = st.lists(st.floats(-1, 1), min_size=2, max_size=2)
"""A point of the square from -1 to 1."""

sizes = st.floats(-12, 0.3).map(lambda power: 10**power)
"""Degrees, down to a tenth of a micrometre."""

longitudes = st.one_of(st.floats(-180, 180), st.sampled_from([-180.0, 0.0, 6.0, 180.0]))
latitudes = st.one_of(st.floats(-84, 85), st.sampled_from([-80.0, 0.0, 56.0, 72.0, 84.0]))


@st.composite
def rings(draw: st.DrawFn) -> Points:
    """Any ring; most cross themselves."""
    unit = draw(st.lists(units, min_size=3, max_size=12))
    across, up = draw(sizes), draw(sizes)
    return closed(about(draw(longitudes), draw(latitudes), across, up, unit))


@st.composite
def stars(draw: st.DrawFn, *, biggest: float = 6.0) -> Points:
    """A ring that does not cross itself."""
    radii = draw(st.lists(st.floats(0.2, 1), min_size=3, max_size=12))
    turns = [2 * math.pi * number / len(radii) for number in range(len(radii))]
    unit = [[r * math.cos(t), r * math.sin(t)] for r, t in zip(radii, turns, strict=True)]
    size = draw(sizes.map(lambda size: min(size, biggest)))
    return closed(about(draw(longitudes), draw(st.floats(-70, 75)), size, size, unit))


@st.composite
def bow_ties(draw: st.DrawFn) -> Points:
    unit = [[-1.0, -1.0], [1.0, 1.0], [1.0, -1.0], [-1.0, draw(st.floats(-1, 1))]]
    size = draw(sizes)
    return closed(about(draw(longitudes), draw(latitudes), size, size, unit))


@st.composite
def crowded(draw: st.DrawFn) -> Points:
    """A ring with corners that repeat, lie on a straight line, or go back."""
    ring = draw(stars())
    corners: Points = []
    for (x, y), (u, v) in pairwise(ring):
        middle = [(x + u) / 2, (y + v) / 2]
        corners += draw(
            st.sampled_from([[[x, y]], [[x, y]] * 3, [[x, y], middle], [[x, y], [u, v], [x, y]]])
        )
    return closed(corners)


@st.composite
def slivers(draw: st.DrawFn) -> Points:
    """A long and very thin ring."""
    unit = [[-1.0, -1.0], [1.0, draw(units)[0]], [1.0, 1.0], [-1.0, -1.0 + draw(sizes)]]
    sides = [draw(st.floats(0.01, 20)), draw(sizes) * 1e-6]
    across, up = sides if draw(st.booleans()) else sides[::-1]
    return closed(about(draw(longitudes), draw(st.floats(-60, 60)), across, up, unit))


@st.composite
def over_180(draw: st.DrawFn) -> list[Any]:
    """Coordinates of polygons across 180 degrees, in all the ways files have them."""
    west, south = draw(st.floats(170, 179.99)), draw(st.floats(-79, 80))
    east, north = draw(st.floats(180.01, 190)), south + draw(st.floats(0.001, 3))
    way = draw(st.sampled_from(["beyond", "below", "jump", "split", "three turns"]))
    turn = {"beyond": 0, "below": -360, "jump": 0, "split": 0, "three turns": 1080}[way]
    if way == "split":
        return [
            [_box(west, south, 180, north)],
            [_box(-180, south, east - 360, north)],
        ]
    ring = _box(west + turn, south, east + turn, north)
    return [[[[x - 360 if way == "jump" and x > 180 else x, y] for x, y in ring]]]


def _box(west: float, south: float, east: float, north: float) -> Points:
    return closed([[west, south], [east, south], [east, north], [west, north]])


@st.composite
def wide(draw: st.DrawFn) -> Points:
    """A box of any size, up to the globe and beyond."""
    limit = draw(st.sampled_from([90.0, 180.0, 360.0, 720.0]))
    lons, lats = st.floats(-limit, limit), st.floats(-limit / 2, limit / 2)
    (west, east), (south, north) = (sorted([draw(axis), draw(axis)]) for axis in (lons, lats))
    return _box(west, south, east, north)


@st.composite
def polar(draw: st.DrawFn) -> Points:
    """A ring around a pole, or up to one."""
    side = draw(st.sampled_from([-1, 1]))
    low = draw(st.floats(75, 89.9))
    lons = [*draw(st.lists(st.floats(-180, 180), min_size=3, max_size=8)), 180.0, -180.0]
    return closed([*([lon, side * low] for lon in sorted(lons)), [0.0, side * 90.0]])


@st.composite
def many(draw: st.DrawFn) -> list[Any]:
    """Coordinates of small polygons anywhere."""
    return [[ring] for ring in draw(st.lists(stars(biggest=2.0), min_size=2, max_size=6))]


def polygon(*rings: Points) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def swapped(ring: Points) -> Points:
    return [[y, x] for x, y in ring]


def in_metres(ring: Points) -> Points:
    return [[x * 111_320, y * 110_574] for x, y in ring]


@st.composite
def poisoned(draw: st.DrawFn) -> dict[str, Any]:
    """A polygon with a coordinate that is NaN, infinite or extreme."""
    ring: list[Any] = draw(stars())
    ring[draw(st.integers(0, len(ring) - 1))][draw(st.integers(0, 1))] = draw(ODD)
    return polygon(ring)


@st.composite
def holed(draw: st.DrawFn) -> dict[str, Any]:
    """A polygon with holes inside it, outside it, or equal to it."""
    outside = draw(stars())
    holes = draw(st.lists(st.one_of(stars(), rings(), st.just(outside)), min_size=1, max_size=3))
    (x, y), (u, v) = outside[0], outside[1]
    within = [[x + (u - x) * part, y + (v - y) * part] for part in (0.2, 0.4, 0.6)]
    return polygon(outside, *holes, closed(within))


points = st.builds(lambda at: {"type": "Point", "coordinates": at}, units)
lines = rings().map(lambda ring: {"type": "LineString", "coordinates": ring})
empties = st.sampled_from(
    [
        *({"type": kind, "coordinates": []} for kind in ("Point", "LineString", "Polygon")),
        *({"type": "Polygon", "coordinates": inside} for inside in ([[]], [[[]]], [[[1.0]]], None)),
        {"type": "MultiPolygon", "coordinates": [[]]},
        {"type": "GeometryCollection", "geometries": []},
        {"type": "Polygon", "coordinates": [[[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]]},
        {"type": "Polygon", "coordinates": [[[1.0, 1.0], [2.0, 2.0]]]},
        {"type": "Polygon"},
        {"type": "Circle", "coordinates": [1, 2]},
        {},
        None,
    ]
)
deep = stars().map(lambda ring: polygon([[x, y, 100.0, 7.0] for x, y in ring]))
unclosed = stars().map(lambda ring: polygon(ring[:-1]))


def _multi(parts: list[Any]) -> dict[str, Any]:
    return {"type": "MultiPolygon", "coordinates": parts}


GEOMETRIES: dict[str, st.SearchStrategy[Any]] = {
    "plain": stars().map(polygon),
    "any ring": rings().map(polygon),
    "bow tie": bow_ties().map(polygon),
    "crowded": crowded().map(polygon),
    "sliver": slivers().map(polygon),
    "holes": holed(),
    "poisoned": poisoned(),
    "swapped": stars().map(swapped).map(polygon),
    "metres": stars().map(in_metres).map(polygon),
    "over 180": over_180().map(_multi),
    "wide": wide().map(polygon),
    "polar": polar().map(polygon),
    "many": many().map(_multi),
    "empty": empties,
    "point or line": st.one_of(points, lines),
    "four numbers a corner": deep,
    "not closed": unclosed,
}


def _collected(shapes: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    inside = st.lists(shapes, max_size=4)
    return inside.map(lambda members: {"type": "GeometryCollection", "geometries": members})


nested = st.recursive(
    st.one_of(stars().map(polygon), points, lines, empties), _collected, max_leaves=6
)


@st.composite
def collections(draw: st.DrawFn) -> dict[str, Any]:
    """A collection of features, some of them odd."""
    shapes = draw(st.lists(st.one_of(nested, *GEOMETRIES.values()), max_size=4))
    features = [{"type": "Feature", "properties": {}, "geometry": shape} for shape in shapes]
    return {"type": "FeatureCollection", "features": features}


@st.composite
def with_crs(draw: st.DrawFn) -> dict[str, Any]:
    """A file that names its CRS, rightly or wrongly."""
    degrees = draw(stars())
    ring = draw(st.sampled_from([degrees, in_metres(degrees), swapped(degrees)]))
    shapes = [{"type": "Feature", "properties": None, "geometry": polygon(ring)}]
    member = {"type": "name", "properties": {"name": draw(CRS)}}
    return {"type": "FeatureCollection", "crs": member, "features": shapes}


def _aoi(kind: str, value: Any) -> Aoi:
    return Aoi(kind, json.dumps(value))


@st.composite
def broken(draw: st.DrawFn) -> Aoi:
    """A file that is cut short, or has other text in its middle."""
    text = json.dumps(draw(collections()))
    start, stop = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    odd = draw(st.sampled_from(["", "x", "[", "null", '"a"', "1e999", "\\ud800", "\0"]))
    return Aoi("broken", text[:start] + odd + (text[stop:] if draw(st.booleans()) else ""))


boxes = st.lists(st.one_of(st.floats(-200, 200), ODD), min_size=4, max_size=4).map(
    lambda numbers: Aoi("box", ",".join(map(str, numbers)))
)

aois = st.one_of(
    *(
        shapes.map(lambda shape, kind=kind: _aoi(kind, shape))  # type: ignore[misc]
        for kind, shapes in GEOMETRIES.items()
    ),
    nested.map(lambda shape: _aoi("nested", shape)),
    collections().map(lambda value: _aoi("collection", value)),
    with_crs().map(lambda value: _aoi("crs", value)),
    broken(),
    st.binary(max_size=200).map(lambda content: Aoi("bytes", content)),
    boxes,
)
"""Areas of every kind."""


class Planner:
    """Runs ``lulcmap plan`` in this process, offline, with scenes of the whole globe.

    Args:
        folder: path of the folder to write in.

    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model = make_model(folder / "stub.onnx", contract(window=512, step=384))
        self._catalog = folder / "items.json"
        self._catalog.write_text(json.dumps(_globe()))

    def plan(self, aoi: Aoi) -> Outcome:
        """Plan an area and judge the outcome."""
        path = self._folder / "area.geojson"
        if isinstance(aoi.text, bytes):
            path.write_bytes(aoi.text)
        else:
            path.write_bytes(aoi.text.encode(errors="surrogatepass"))
        argument = str(aoi.text) if aoi.kind == "box" else str(path)
        start = time.perf_counter()
        result = CliRunner().invoke(
            main,
            [
                *(
                    "plan",
                    "--json",
                    "--year",
                    "2024",
                    "--device",
                    "cpu",
                    "--yes",
                    f"--aoi={argument}",
                ),
                *("--out", str(self._folder / "map.tif"), "--model", str(self._model)),
                *("--catalog", str(self._catalog)),
            ],
        )
        seconds = time.perf_counter() - start
        message, fault = _judged(result.exit_code, result.stdout)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            fault = "".join(traceback.format_exception(result.exception))
        return Outcome(
            result.exit_code, message, fault or ("Traceback" in result.output) * "a trace", seconds
        )


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _judged(code: int, output: str) -> tuple[str, str]:
    """Return the message, and what is wrong with the outcome."""
    try:
        value = json.loads(output, parse_constant=_refuse)
    except ValueError:
        return output, "stdout is not JSON"
    if code not in GOOD:
        return output, f"the exit code is {code}"
    if code == 0:
        sound = value["zones"] and value["maps"] and 0 < value["km2"] <= 20e6
        return "a plan", "" if sound else "the plan is empty"
    message = value["error"]["message"]
    sound = value["error"]["exit_code"] == code and len(message.splitlines()) == 1
    return message, "" if sound and len(message) < 600 else "the error is not one line"


def _globe() -> dict[str, Any]:
    """An ItemCollection of eight scenes."""
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "stac_version": "1.0.0",
                "id": f"scene-{west}-{south}",
                "collection": "sentinel-2-l2a",
                "bbox": [west, south, west + 90, south + 90],
                "geometry": polygon(_box(west, south, west + 90, south + 90)),
                "properties": {
                    "datetime": "2024-07-01T10:30:00Z",
                    "s2:processing_baseline": "05.10",
                },
                "links": [],
                "assets": {band: {"href": f"./{band}.tif"} for band in (*S2_BANDS, "SCL")},
            }
            for west in range(-180, 180, 90)
            for south in (-90, 0)
        ],
    }
