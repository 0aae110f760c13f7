"""Cost of the plan of a country: CPU-seconds and peak memory of 20,000 items of a catalogue.

The items are made up, as long as those of the Planetary Computer, with all assets and properties:
tiles of 110 km in three UTM zones over a country of the size of France, Sentinel-1 on three orbits.
A STAC API on the loopback, in its own process, serves them by pages. Each row is a process of its
own: ``lulcmap plan`` from the API, from an ItemCollection file of the same items (one line, as
servers write it), and ``lulcmap plan`` of a run that was begun, which reads its items back.

    python -m benchmarks.plans [FOLDER] [--items 20000] [--aoi FILE] [--rounds 3] [--profile]

FOLDER keeps the plans and items, for comparison with those of another version.
"""

import argparse
import gzip
import hashlib
import json
import math
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.measuring import Cost, measured, median_cost

YEAR = 2024
SEED = 24

OUTLINE = (
    *((-4.7, 48.4), (-1.6, 48.6), (-1.9, 49.7), (1.6, 50.9), (2.5, 51.1), (4.2, 49.9)),
    *((6.1, 49.4), (8.2, 48.9), (7.6, 47.6), (6.1, 46.3), (7.0, 45.9), (7.7, 44.1)),
    *((6.6, 43.1), (3.1, 43.2), (3.1, 42.4), (-1.8, 43.3), (-1.2, 46.0), (-2.5, 47.3)),
)
"""Corners of a country of 550,000 km2, longitude, latitude."""

ZONES = 30, 31, 32
TILE_M, STEP_M = 109_800, 100_000
"""Side of a tile of Sentinel-2 and distance to the next, metres."""

S1_SHARE = 0.1
"""Share of the items that are of Sentinel-1."""

HOST = "https://archive.example.com"
"""Host of the assets, which nobody reads here."""

BANDS = {
    **dict.fromkeys(("AOT", "B02", "B03", "B04", "B08", "WVP"), 10),
    **dict.fromkeys(("B05", "B06", "B07", "B11", "B12", "B8A", "SCL"), 20),
    **dict.fromkeys(("B01", "B09"), 60),
}
"""Pixel size of each band's file, metres."""

EXTRAS = (
    *("visual", "preview", "safe-manifest", "granule-metadata", "inspire-metadata"),
    *("product-metadata", "datastrip-metadata", "tilejson", "rendered_preview"),
)
"""Other assets of an item of Sentinel-2."""

PERCENTAGES = (
    *("water", "snow_ice", "vegetation", "thin_cirrus", "cloud_shadow", "unclassified"),
    *("dark_features", "not_vegetated", "high_proba_clouds", "medium_proba_clouds"),
    *("degraded_msi_data", "saturated_defective_pixel"),
)


def tiles(outline: Any) -> Iterator[tuple[int, str, float, float, Any]]:
    """Tiles that meet the country: zone, name, left, top, and the square in degrees."""
    import shapely
    from pyproj import Transformer

    west, south, east, north = outline.bounds
    for zone in ZONES:
        to_degrees = Transformer.from_crs(32600 + zone, 4326, always_xy=True)
        for column, row in ((c, r) for c in range(1, 9) for r in range(35, 60)):
            left, top = column * STEP_M, row * STEP_M
            corners = [(left, top), (left + TILE_M, top), (left + TILE_M, top - TILE_M)]
            corners.append((left, top - TILE_M))
            square = shapely.Polygon([to_degrees.transform(*corner) for corner in corners])
            middle = square.centroid
            if not west - 2 < middle.x < east + 2 or not south - 2 < middle.y < north + 2:
                continue
            if abs(middle.x - (zone * 6 - 183)) < 3.5 and square.intersects(outline):
                yield zone, f"{zone}T{chr(64 + column)}{chr(64 + row % 20)}", left, top, square


def s2_item(tile: tuple[int, str, float, float, Any], day: datetime, rng: random.Random) -> Any:
    """An item as long as one of ``sentinel-2-l2a``."""
    zone, name, left, top, square = tile
    orbit = 8 + 29 * (zone - 30) + day.toordinal() % 3
    stamp, made = f"{day:%Y%m%dT%H%M%S}", f"{day + timedelta(hours=9):%Y%m%dT%H%M%S}"
    item_id = f"S2{'AB'[day.toordinal() % 2]}_MSIL2A_{stamp}_R{orbit:03d}_T{name}_{made}"
    product = item_id.replace(f"_{stamp}_", f"_{stamp}_N0510_", 1)
    folder = f"{HOST}/sentinel2-l2/{zone}/T/{name[-2:]}/{day:%Y/%m/%d}/{product}.SAFE"
    granule = f"{folder}/GRANULE/L2A_T{name}_A0{day.toordinal() % 99999:05d}_{stamp}"
    assets: dict[str, Any] = {}
    for band, size in BANDS.items():
        pixels = TILE_M // size
        assets[band] = {
            "href": f"{granule}/IMG_DATA/R{size}m/T{name}_{stamp}_{band}_{size}m.tif",
            "proj:bbox": [left, top - TILE_M, left + TILE_M, top],
            "proj:shape": [pixels, pixels],
            "proj:transform": [float(size), 0.0, left, 0.0, -float(size), top],
            "gsd": float(size),
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "title": f"Band {band} - a spectral band of the instrument - {size}m",
            "eo:bands": [
                {
                    "name": band,
                    "common_name": band.lower(),
                    "description": f"Band {band} - a spectral band",
                    "center_wavelength": 0.443,
                    "full_width_half_max": 0.027,
                }
            ],
        }
    for key in EXTRAS:
        assets[key] = {
            "href": f"{folder}/DATASTRIP/DS_MSFT_{made}_S{stamp}_N05.10/{key}.xml",
            "type": "application/xml",
            "roles": ["metadata"],
            "title": key,
        }
    percentages = {f"s2:{key}_percentage": round(rng.random() * 100, 6) for key in PERCENTAGES}
    corners = list(square.exterior.coords)
    if rng.random() < 0.4:  # the edge of the swath
        share = 0.3 + 0.6 * rng.random()
        corners = [
            corners[0],
            *(
                (a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share)
                for a, b in (
                    (corners[0], corners[1]),
                    (corners[3], corners[2]),
                )
            ),
            corners[3],
            corners[0],
        ]
    corners = [
        (round(a + (c - a) * k / 5, 7), round(b + (d - b) * k / 5, 7))
        for (a, b), (c, d) in pairwise(corners)
        for k in range(5)
    ]
    properties = {
        "datetime": f"{day:%Y-%m-%dT%H:%M:%S.%f}Z",
        "platform": f"Sentinel-2{'AB'[day.toordinal() % 2]}",
        "proj:epsg": 32600 + zone,
        "instruments": ["msi"],
        "s2:mgrs_tile": name,
        "constellation": "Sentinel 2",
        "s2:granule_id": f"S2B_OPER_MSI_L2A_TL_MSFT_{made}_A037185_T{name}_N05.10",
        "eo:cloud_cover": round(100 * rng.random() ** 1.5, 6),
        "s2:datatake_id": f"GS2{'AB'[day.toordinal() % 2]}_{stamp}_0{orbit:05d}_N05.10",
        "s2:product_uri": f"{product}.SAFE",
        "s2:datastrip_id": f"S2B_OPER_MSI_L2A_DS_MSFT_{made}_S{stamp}_N05.10",
        "s2:product_type": "S2MSI2A",
        "sat:orbit_state": "descending",
        "s2:datatake_type": "INS-NOBS",
        "s2:generation_time": f"{day + timedelta(hours=9):%Y-%m-%dT%H:%M:%S.%f}Z",
        "sat:relative_orbit": orbit,
        "s2:mean_solar_zenith": 20 + rng.random() * 50,
        "s2:mean_solar_azimuth": 140 + rng.random() * 40,
        "s2:processing_baseline": "05.10",
        "s2:nodata_pixel_percentage": round(rng.random() * 99, 6),
        "s2:reflectance_conversion_factor": 0.993580226222447,
        **percentages,
    }
    return feature(item_id, "sentinel-2-l2a", corners, properties, assets)


def s1_item(slice_: int, orbit: int, day: datetime, outline: Any) -> Any:
    """An item as long as one of ``sentinel-1-rtc``."""
    west, south, east, _ = outline.bounds
    number = 50_000 + (day - datetime(YEAR, 1, 1, tzinfo=UTC)).days
    lower = south - 0.2 + slice_ * 1.5
    left = west - 0.5 + (east - west) / 3 * (orbit % 3)
    end = day + timedelta(seconds=25)
    item_id = (
        f"S1A_IW_GRDH_1SDV_{day:%Y%m%dT%H%M%S}_{end:%Y%m%dT%H%M%S}_{number:06d}_"
        f"{number * 3 + orbit:06X}_rtc"
    )
    folder = f"{HOST}/sentinel1-grd-rtc/GRD/{day:%Y/%m/%d}/IW/DV/{item_id}_DCEC/measurement"
    assets = {
        key: {
            "href": f"{folder}/iw-{key}.rtc.tiff",
            "file:size": 838784900,
            "file:checksum": hashlib.md5(f"{item_id}{key}".encode()).hexdigest(),
            "type": "image/tiff; application=geotiff; profile=cloud-optimized",
            "roles": ["data"],
            "title": f"{key.upper()}: polarization",
            "description": "Terrain-corrected gamma naught values of the signal. " * 4,
            "raster:bands": [
                {"nodata": -32768, "data_type": "float32", "spatial_resolution": 10.0}
            ],
        }
        for key in ("vh", "vv")
    }
    for key in ("tilejson", "rendered_preview"):
        assets[key] = {"href": f"{HOST}/{key}?item={item_id}&{'expression=0.03+log&' * 20}"}
    shift = 0.3 if orbit % 2 else -0.3
    corners = [
        (left, lower),
        (left + 3.5, lower + shift),
        (left + 3.5 + shift, lower + 1.7),
        (left + shift, lower + 1.6),
        (left, lower),
    ]
    properties = {
        "datetime": f"{day:%Y-%m-%dT%H:%M:%S.%f}Z",
        "platform": "SENTINEL-1A",
        "proj:epsg": 32631,
        "proj:shape": [22000, 29000],
        "proj:transform": [10.0, 0.0, 373180.0, 0.0, -10.0, 5424680.0, 0.0, 0.0, 1.0],
        "s1:datatake_id": str(number * 3 + orbit),
        "s1:orbit_source": "PREORB",
        "s1:total_slices": "30",
        "sat:orbit_state": "ascending" if orbit % 2 else "descending",
        "sar:product_type": "GRD",
        "sar:polarizations": ["VV", "VH"],
        "sar:frequency_band": "C",
        "sat:absolute_orbit": number,
        "sat:relative_orbit": orbit,
        "sar:instrument_mode": "IW",
        "sar:center_frequency": 5.405,
        "sar:observation_direction": "right",
        "sat:platform_international_designator": "2014-016A",
    }
    return feature(item_id, "sentinel-1-rtc", corners, properties, assets)


def feature(
    item_id: str, collection: str, corners: list[Any], properties: Any, assets: Any
) -> dict[str, Any]:
    """A STAC item with the links of a server."""
    xs, ys = zip(*corners, strict=True)
    return {
        "id": item_id,
        "bbox": [min(xs), min(ys), max(xs), max(ys)],
        "type": "Feature",
        "links": [
            {"rel": rel, "type": "application/json", "href": f"{HOST}/collections/{collection}"}
            for rel in ("collection", "parent", "root", "license", "preview")
        ]
        + [{"rel": "self", "href": f"{HOST}/collections/{collection}/items/{item_id}"}],
        "assets": assets,
        "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
        "collection": collection,
        "properties": properties,
        "stac_extensions": [
            f"https://stac-extensions.github.io/{name}/v1.0.0/schema.json"
            for name in ("eo", "sat", "projection")
        ],
        "stac_version": "1.0.0",
    }


def make_items(outline: Any, count: int) -> list[Any]:
    """Items of a year over a country, sorted by id."""
    rng, first = random.Random(SEED), datetime(YEAR, 1, 1, 10, 30, tzinfo=UTC)
    squares = list(tiles(outline))
    n_s1 = round(count * S1_SHARE)
    per_tile = math.ceil((count - n_s1) / len(squares))
    days = [first + timedelta(days=364 * k / per_tile) for k in range(per_tile)]
    items = [
        s2_item(tile, day + timedelta(seconds=tile[0]), rng) for day in days for tile in squares
    ][: count - n_s1]
    slices, orbits = 7, (37, 59, 110, 139, 8, 30)
    passes = math.ceil(n_s1 / slices)
    items += [
        s1_item(
            number % slices,
            orbits[number // slices % len(orbits)],
            first
            + timedelta(days=364 * (number // slices) / passes, seconds=25 * (number % slices)),
            outline,
        )
        for number in range(n_s1)
    ]
    return sorted({item["id"]: item for item in items}.values(), key=lambda item: item["id"])


class Archive(BaseHTTPRequestHandler):
    """A STAC API as the Planetary Computer's: pages with a token, order and conditions by id."""

    protocol_version = "HTTP/1.1"
    rows: list[tuple[str, str, str, tuple[float, ...], bytes, bytes]]

    def do_GET(self) -> None:
        """Answer with the landing page."""
        kinds = ("", "#sort", "#query", "#fields")
        search = f"http://{self.headers['Host']}/search"
        landing = {
            "conformsTo": [f"https://api.stacspec.org/v1.0.0/item-search{kind}" for kind in kinds],
            "links": [{"rel": "search", "href": search, "method": "POST"}],
        }
        self.answer(json.dumps(landing).encode())

    def do_POST(self) -> None:
        """Answer a search."""
        terms = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        start, end = (text[:19] for text in terms["datetime"].split("/"))
        west, south, east, north = terms["bbox"]
        after = terms.get("query", {}).get("id", {}).get("gte", "")
        found = [
            row
            for row in self.rows
            if row[1] == terms["collections"][0]
            and start <= row[2] <= end
            and row[3][0] <= east
            and row[3][2] >= west
            and row[3][1] <= north
            and row[3][3] >= south
            and row[0] >= after
        ]
        if terms.get("sortby", [{}])[0].get("direction") == "desc":
            found.reverse()
        first, limit = int(terms.get("token", 0)), terms["limit"]
        links = []
        if first + limit < len(found):
            body = {**terms, "token": str(first + limit)}
            href = f"http://{self.headers['Host']}/search"
            links = [{"rel": "next", "href": href, "method": "POST", "body": body}]
        bare = "links" in terms.get("fields", {}).get("exclude", ())
        page = b",".join(row[5 if bare else 4] for row in found[first : first + limit])
        tail = json.dumps({"links": links, "numberReturned": limit})[1:].encode()
        self.answer(b'{"type":"FeatureCollection","features":[' + page + b"]," + tail)

    def answer(self, body: bytes) -> None:
        """Send JSON, compressed."""
        body = gzip.compress(body, 1)
        self.send_response(200)
        for name, value in (
            ("Content-Type", "application/json"),
            ("Content-Encoding", "gzip"),
            ("Content-Length", str(len(body))),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def serve(file: Path) -> None:
    """Serve the items of an ItemCollection; print the port."""
    items = json.loads(file.read_bytes())["features"]
    Archive.rows = [
        (
            item["id"],
            item["collection"],
            item["properties"]["datetime"][:19],
            tuple(item["bbox"]),
            compact(item),
            compact({key: value for key, value in item.items() if key != "links"}),
        )
        for item in items
    ]
    server = ThreadingHTTPServer(("127.0.0.1", 0), Archive)
    print(server.server_port, flush=True)
    server.serve_forever()


def begin_run(catalog: str, aoi: str, out: str) -> None:
    """Freeze a plan and its items in the run folder of a map, as ``lulcmap predict`` begins."""
    from lulcmap import pipeline
    from lulcmap.catalog import make_period
    from lulcmap.geo import load_area
    from lulcmap.planning import Settings, plan_map
    from lulcmap.run import RunFolder

    folder = Path(f"{out}.run")
    planned = plan_map(
        load_area(aoi),
        folder,
        period=make_period(year=YEAR),
        settings=Settings(catalog=catalog),
    )
    pipeline._freeze(RunFolder(folder), planned)


def commands(folder: Path, aoi: Path, api: str, *, profile: bool) -> dict[str, list[str]]:
    """The commands to measure, by name; the run of the last is begun by the one before."""
    python = [sys.executable, *(["-m", "cProfile", "-s", "cumulative"] if profile else [])]
    plan = [*python, "-m", "lulcmap", "plan", "--quiet", "--json", "--aoi", str(aoi)]
    if profile:  # of two modules, cProfile runs only itself
        plan = [*python, str(Path(sys.executable).with_name("lulcmap")), *plan[6:]]
    plan += ["--year", str(YEAR), "--out"]
    fresh, begun = str(folder / "fresh.tif"), str(folder / "begun.tif")
    return {
        "plan from the API": [*plan, fresh, "--catalog", api],
        "plan from a file": [*plan, fresh, "--catalog", str(folder / "items.json")],
        "begin a run": [*python, "-m", "benchmarks.plans", "--begin", api, str(aoi), begun],
        "plan of that run": [*plan, begun, "--catalog", api],
        "plan from its items": [*plan, fresh, "--catalog", f"{begun}.run/items.json"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--aoi", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="print a profile of each command")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--begin", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
    elif options.begin:
        begin_run(*options.begin)
    elif options.make:
        make_files(options.folder, options)
    elif options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        measure(options.folder, options)
    else:
        with tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), options)


def make_files(folder: Path, options: argparse.Namespace) -> None:
    """Write the area and the items."""
    import shapely

    aoi, file = folder / "country.geojson", folder / "items.json"
    shape = shapely.Polygon(OUTLINE)
    if options.aoi:
        shape = shapely.union_all(shapely.from_geojson(options.aoi.read_text()))
    aoi.write_text(shapely.to_geojson(shape))
    items = make_items(shape, options.items)
    file.write_bytes(compact({"type": "FeatureCollection", "features": items}))
    print(f"{len(items):,} items, {file.stat().st_size / 1e6:.0f} MB of JSON")


def measure(folder: Path, options: argparse.Namespace) -> None:
    """Make the items, serve them, and print what each command costs."""
    # In a process of its own: the peak of what is measured is at least that of this one.
    here = [sys.executable, "-m", "benchmarks.plans"]
    area = ["--aoi", str(options.aoi)] if options.aoi else []
    made = [str(folder), "--make", "--items", str(options.items), *area]
    subprocess.run([*here, *made], check=True)
    aoi, file = folder / "country.geojson", folder / "items.json"
    command = [*here, "--serve", str(file)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        api = f"http://127.0.0.1:{int(server.stdout.readline())}"
        costs: dict[str, list[Cost]] = {}
        for _ in range(1 if options.profile else options.rounds):
            for path in (folder / "begun.tif.run").glob("*.json"):
                path.unlink()
            for name, words in commands(folder, aoi, api, profile=options.profile).items():
                cost, text = measured(words)
                costs.setdefault(name, []).append(cost)
                (folder / f"{name.replace(' ', '-')}.txt").write_text(text)
    finally:
        server.kill()
    for name, runs in costs.items():
        print(f"{name:<22}{median_cost(runs)}")
    if options.profile:
        print(f"The profiles are in {folder}.")


if __name__ == "__main__":
    main()
