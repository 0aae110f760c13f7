"""Speed of reading planes over HTTP, compared with rasterio, odc-stac and async-geotiff.

The script makes the files: 16-bit COGs, deflate, predictor 2, tiles of 512, about 11 bits per
pixel; the window begins and ends inside tiles. A small server in this script answers byte ranges on
the loopback, at once or after a pause, and counts requests and bytes. Every method keeps all planes
in memory, in its own process, in turns with the others; only the reading is timed, not imports or
compilation. All samples must equal those of a plain serial read with rasterio; otherwise the script
prints which differ and exits with 1. Methods that are not installed are left out.

    pip install odc-stac dask async-geotiff obstore
    python -m benchmarks.reading [--folder FOLDER] [--latency 0 30] [--rounds 3] [--tune] [--quick]
"""

import argparse
import asyncio
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.geometry
from affine import Affine
from odc.geo.geobox import GeoBox

from benchmarks.measuring import Stopwatch
from benchmarks.serving import request_counts, served
from lulcmap.geo import footprint

Settings = dict[str, int | str]
"""Settings of a method; names in capitals are GDAL options, set in the environment."""

SELF = [sys.executable, "-m", "benchmarks.reading"]

BANDS = ("B02", "B03", "B04", "B08")
ROW, COL = 230, 330
"""First pixel of the window in each file: inside a tile."""
EXTRA_PX = 700
"""Pixels by which the side of a file exceeds that of its window."""

GDAL = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".tif",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",
}
"""What GDAL's manual and odc-stac advise for COGs; the other methods start from it."""

Axes = dict[str, Sequence[int | str]]

THREADS: Axes = {"threads": (2, 4, 8, 16, 32)}
DECODING: Axes = {"GDAL_NUM_THREADS": (1, 2)}
CACHING: Axes = {
    "VSI_CACHE": ("FALSE", "TRUE"),
    "CPL_VSIL_CURL_CACHE_SIZE": (2**24, 2**28),
}

AXES: dict[str, Axes] = {
    "lulcmap": {"workers": (2, 4, 8, 16, 32)},
    "rasterio": {**DECODING, **THREADS, **CACHING},
    "odc-stac": {**DECODING, **THREADS, **CACHING},
    "odc-stac + dask": {**DECODING, "chunk": (4096, 2048, 1024), **THREADS, **CACHING},
    "async-geotiff": {"at_once": (1, 2, 4, 8, 16), "prefetch": (2**15, 2**17)},
}
"""Settings that ``--tune`` tries, one after the other, each with the best of those before."""


@dataclass(frozen=True, slots=True)
class Task:
    """All bands of some dates, in one square window on their own grid."""

    root: str
    """URL or folder of the files."""

    name: str
    """Beginning of the files' names."""

    dates: int
    """Number of dates; each is one file per band."""

    size: int
    """Pixels a side of the window."""

    def href(self, date: int, band: str) -> str:
        """Href of the file that holds one plane."""
        return f"{self.root}/{self.name}_{date}_{band}.tif"

    def hrefs(self) -> list[str]:
        """Hrefs in the order of the planes: by date, then by band."""
        return [self.href(date, band) for date in range(self.dates) for band in BANDS]

    @property
    def whole(self) -> GeoBox:
        """Grid of the files."""
        shape = (self.size + EXTRA_PX, self.size + EXTRA_PX)
        return GeoBox(shape, Affine(10, 0, 600_000, 0, -10, 5_000_040), "EPSG:32632")

    @property
    def grid(self) -> GeoBox:
        """Grid of the window."""
        return self.whole[ROW : ROW + self.size, COL : COL + self.size]


def make_files(task: Task) -> None:
    """Write fields with soft edges under noise, with GDAL's COG driver, overviews included."""
    import rasterio

    side = task.size + EXTRA_PX
    for date in range(task.dates):
        for index, band in enumerate(BANDS):
            rng = np.random.default_rng((date, index))
            land = rng.normal(2500, 600, (side // 48 + 1, side // 48 + 1)).astype(np.float32)
            pixels = land.repeat(48, 0).repeat(48, 1)[:side, :side]
            pixels += rng.standard_normal((side, side), np.float32) * 50
            with rasterio.open(
                task.href(date, band),
                "w",
                driver="COG",
                height=side,
                width=side,
                count=1,
                dtype="uint16",
                crs="EPSG:32632",
                transform=task.whole.affine,
                nodata=0,
                compress="deflate",
                predictor="standard",
                blocksize=512,
                num_threads=2,
            ) as target:
                target.write(np.clip(pixels, 1, 15000).astype(np.uint16), 1)


# The methods: all planes (H, W) uint16, by date, then by band


def read_lulcmap(task: Task, *, workers: int) -> list[np.ndarray]:
    from lulcmap.catalog import Scene
    from lulcmap.imagery import Reader, pixels_of

    def scene(date: int) -> Scene:
        return Scene(
            id=str(date),
            sensor="s2",
            acquired=datetime(2024, 6, 1 + date),
            datatake=str(date),
            bbox=footprint(task.whole),
            epsg=32632,
            orbit=None,
            orbit_state=None,
            cloud_cover=None,
            offset=0,
            assets={band: task.href(date, band) for band in BANDS},
        )

    requests = [(scene(date), band) for date in range(task.dates) for band in BANDS]
    with Reader(workers=workers) as reader:
        return [pixels_of(plane) for plane in reader.planes(requests, task.grid)]


def read_rasterio(task: Task, *, threads: int) -> list[np.ndarray]:
    import rasterio
    from rasterio.windows import Window

    def load(href: str) -> np.ndarray:
        with rasterio.open(href) as source:
            return source.read(1, window=Window(COL, ROW, task.size, task.size))

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(load, task.hrefs()))


def items(task: Task) -> list[Any]:
    """STAC items for odc-stac, with all it needs to open each file only once."""
    import pystac

    box = footprint(task.whole)
    raster = [{"data_type": "uint16", "nodata": 0, "spatial_resolution": 10}]
    proj = {"proj:shape": [*task.whole.shape], "proj:transform": [*task.whole.affine][:6]}

    def item(date: int) -> dict[str, Any]:
        return {
            "type": "Feature",
            "stac_version": "1.0.0",
            "stac_extensions": [
                "https://stac-extensions.github.io/projection/v1.1.0/schema.json",
                "https://stac-extensions.github.io/raster/v1.1.0/schema.json",
            ],
            "id": str(date),
            "bbox": list(box),
            "geometry": shapely.geometry.mapping(shapely.box(*box)),
            "properties": {"datetime": f"2024-06-{1 + date:02d}T10:00:00Z", "proj:epsg": 32632},
            "links": [],
            "assets": {
                band: {"href": task.href(date, band), "roles": ["data"], "raster:bands": raster}
                | proj
                for band in BANDS
            },
        }

    return [pystac.Item.from_dict(item(date)) for date in range(task.dates)]


def read_odc(task: Task, *, threads: int, chunk: int | None = None) -> list[np.ndarray]:
    """Read without dask, or with it if a chunk (pixels a side) is given."""
    import odc.stac

    options: dict[str, Any] = (
        {"pool": threads} if chunk is None else {"chunks": {"x": chunk, "y": chunk}}
    )
    dataset = odc.stac.load(items(task), bands=BANDS, geobox=task.grid, **options)
    if chunk is not None:
        dataset = dataset.compute(scheduler="threads", num_workers=threads)
    return [dataset[band].values[date] for date in range(task.dates) for band in BANDS]


def read_async(task: Task, *, at_once: int, prefetch: int) -> list[np.ndarray]:
    from async_geotiff import GeoTIFF, Window
    from obstore.store import HTTPStore

    async def load(href: str, turn: asyncio.Semaphore, store: HTTPStore) -> np.ndarray:
        async with turn:
            source = await GeoTIFF.open(href.rpartition("/")[2], store=store, prefetch=prefetch)
            array = await source.read(window=Window(COL, ROW, task.size, task.size))
            return array.data[0]

    async def load_all() -> list[np.ndarray]:
        store = HTTPStore(task.root, client_options={"allow_http": True})
        turn = asyncio.Semaphore(at_once)
        return await asyncio.gather(*(load(href, turn, store) for href in task.hrefs()))

    return asyncio.run(load_all())


METHODS: dict[str, tuple[Callable[..., list[np.ndarray]], tuple[str, ...]]] = {
    "lulcmap": (read_lulcmap, ()),
    "rasterio": (read_rasterio, ()),
    "odc-stac": (read_odc, ("odc.stac",)),
    "odc-stac + dask": (read_odc, ("odc.stac", "dask")),
    "async-geotiff": (read_async, ("async_geotiff", "obstore")),
}
"""Each method with the packages it needs."""

TUNED: dict[int, dict[str, Settings]] = {
    0: {
        "lulcmap": {"workers": 8},
        "rasterio": {"threads": 8, "GDAL_NUM_THREADS": 1},
        "odc-stac": {"threads": 8, "GDAL_NUM_THREADS": 1},
        "odc-stac + dask": {"threads": 16, "chunk": 2048, "GDAL_NUM_THREADS": 1},
        "async-geotiff": {"at_once": 2, "prefetch": 2**15},
    },
    30: {
        "lulcmap": {"workers": 8},
        "rasterio": {"threads": 8, "GDAL_NUM_THREADS": 2},
        "odc-stac": {"threads": 16, "GDAL_NUM_THREADS": 1},
        "odc-stac + dask": {"threads": 16, "chunk": 2048, "GDAL_NUM_THREADS": 1},
        "async-geotiff": {"at_once": 8, "prefetch": 2**15},
    },
}
"""Best of some settings tried on two busy cores, by latency in ms; elsewhere run ``--tune``."""


def installed() -> list[str]:
    def is_installed(module: str) -> bool:
        package = module.partition(".")[0]
        return bool(importlib.util.find_spec(package) and importlib.util.find_spec(module))

    return [name for name, (_, needs) in METHODS.items() if all(map(is_installed, needs))]


# Measuring


def run_one(method: str, task: Task, settings: Settings) -> dict[str, Any]:
    """In its own process: read the planes; return the cost and a checksum of each plane."""
    read = METHODS[method][0]
    options = {name: value for name, value in settings.items() if not name.isupper()}
    read(replace(task, name="warm", dates=1, size=600), **options)  # warm-up: imports, compilation
    remote = "://" in task.root
    if remote:
        request_counts(task.root)
    watch = Stopwatch()
    planes = read(task, **options)
    cost: dict[str, Any] = asdict(watch.cost())
    cost |= request_counts(task.root) if remote else {}
    cost["checksums"] = [
        zlib.crc32(np.ascontiguousarray(plane)) if plane.shape == task.grid.shape else None
        for plane in planes
    ]
    return cost


def run(method: str, task: Task, settings: Settings) -> dict[str, Any]:
    """Result of ``run_one`` in a new process, with GDAL's options for the other methods."""
    command = [*SELF, "--one", method, "--task", json.dumps(asdict(task))]
    command += ["--settings", json.dumps(settings)]
    options = {} if method == "lulcmap" else GDAL
    options = options | {name: str(value) for name, value in settings.items() if name.isupper()}
    environment = os.environ | options | {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    return json.loads(out.stdout)


def prepare(task: Task) -> None:
    """Make the files that are missing, in another process, whose memory does not count."""
    for each in (task, replace(task, name="warm", dates=1, size=600)):
        if not all(Path(href).exists() for href in each.hrefs()):
            subprocess.run([*SELF, "--make", "--task", json.dumps(asdict(each))], check=True)


def differing(cost: dict[str, Any], expected: list[int]) -> int:
    """Number of planes that differ from the serial read."""
    return sum(a != b for a, b in zip(cost["checksums"], expected, strict=True))


def described(settings: Settings) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def medians(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    keys = ("wall", "cpu", "memory", "requests", "bytes")
    return {key: statistics.median(run[key] for run in runs) for key in keys}


def tune(method: str, task: Task, *, rounds: int) -> Settings:
    """Settings with the least wall time, axis after axis; printed as they are found.

    Values take turns, and the fastest round of each counts: it was disturbed least by other work on
    the machine.
    """
    axes = AXES[method]
    best: Settings = {name: values[0] for name, values in axes.items()}
    for name, values in axes.items():
        walls = dict.fromkeys(values, float("inf"))
        for _ in range(rounds):
            for value in values:
                cost = run(method, task, best | {name: value})
                walls[value] = min(walls[value], cost["wall"])
        best[name] = min(values, key=walls.__getitem__)
        times = ", ".join(f"{value}: {wall:.2f}" for value, wall in walls.items())
        print(f"  {method}: wall s by {name}: {times}", flush=True)
    return best


def compare(task: Task, chosen: dict[str, Settings], expected: list[int], *, rounds: int) -> bool:
    """Print the cost of each method; return whether all planes equal the serial read."""
    runs: dict[str, list[dict[str, Any]]] = {method: [] for method in chosen}
    same = True
    for turn in range(rounds):
        for method, settings in chosen.items():
            cost = run(method, task, settings)
            runs[method].append(cost)
            wrong = differing(cost, expected)
            same = same and not wrong
            if wrong or turn == 0:
                print(f"  {method}: {wrong} of {len(expected)} planes differ", flush=True)
    samples = len(expected) * task.size**2 / 1e6
    print(
        "| | M samples per CPU-second | CPU-s | wall s | fastest | MB | requests | peak MB "
        "| settings |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    walls: dict[str, float] = {}
    for method, costs in runs.items():
        cost = medians(costs)
        walls[method] = cost["wall"]
        print(
            f"| {method} | {samples / cost['cpu']:.0f} | {cost['cpu']:.2f} | {cost['wall']:.2f} | "
            f"{min(each['wall'] for each in costs):.2f} | {cost['bytes'] / 1e6:.0f} | "
            f"{cost['requests']:.0f} | {cost['memory']:.0f} | {described(chosen[method])} |"
        )
    own = walls.pop("lulcmap", None)
    if own is not None and walls:
        best = min(walls, key=walls.__getitem__)
        print(
            f"\nThe wall time of lulcmap is {own / walls[best]:.2f} times that of the best other "
            f"method, {best}."
        )
    return same


def bench(options: argparse.Namespace) -> bool:
    """Run all comparisons; return whether all planes equal the serial read."""
    same = True
    folder = options.folder
    task = Task(str(folder), f"s{options.size}", options.dates, options.size)
    prepare(task)
    expected = run("rasterio", task, {"threads": 1})["checksums"]  # local files, one by one
    stored = sum(Path(href).stat().st_size for href in task.hrefs()) / 1e6
    print(
        f"{task.dates} dates x {len(BANDS)} bands x {task.size} x {task.size} px, "
        f"{len(expected)} files of {stored / len(expected):.0f} MB"
    )
    for latency in options.latency:
        print(f"\n{latency} ms before each answer", flush=True)
        with served(folder, latency) as url:
            remote = replace(task, root=url)
            nearest = min(TUNED, key=lambda tuned: abs(tuned - latency))
            chosen = {
                method: tune(method, remote, rounds=options.rounds)
                if options.tune
                else TUNED[nearest][method]
                for method in installed()
                if options.methods is None or method in options.methods
            }
            same = compare(remote, chosen, expected, rounds=options.rounds) and same
    return same


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="keeps the files between runs (about 0.8 GB)")
    parser.add_argument("--size", type=int, default=4096, help="pixels a side of the window")
    parser.add_argument("--dates", type=int, default=6)
    parser.add_argument("--latency", type=int, nargs="+", default=[0, 30], help="milliseconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="only these")
    parser.add_argument(
        "--tune", action="store_true", help="find each method's best settings first"
    )
    parser.add_argument("--quick", action="store_true", help="2 dates of 1024 px, one round")
    for hidden in ("--one", "--task", "--settings"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.size, options.dates, options.rounds = 1024, 2, 1
    if options.make:
        make_files(Task(**json.loads(options.task)))
    elif options.one:
        task = Task(**json.loads(options.task))
        print(json.dumps(run_one(options.one, task, json.loads(options.settings))))
    elif options.folder:
        options.folder.mkdir(parents=True, exist_ok=True)
        sys.exit(not bench(options))
    else:
        with tempfile.TemporaryDirectory() as name:
            options.folder = Path(name)
            same = bench(options)
        sys.exit(not same)


if __name__ == "__main__":
    main()
