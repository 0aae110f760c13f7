"""Speed of a Sentinel-2 composite, compared with the same pixels made by rasterio or odc-stac.

The script makes the scenes: 16-bit COG-like files, deflate, predictor 2, blocks of 512, all nine
bands at 10 m, so that no method pays for resampling. The rules make every date count, because the
other methods cannot do otherwise. Outputs are compared before anything is timed; each method runs
in its own process, in turns; medians are printed. Methods that are not installed are left out.

    pip install bottleneck odc-stac dask
    python -m benchmarks.compositing [--size 2048] [--dates 6] [--rounds 3]
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import numpy as np
import pystac
import rasterio
import shapely
import shapely.geometry
from odc.geo.geobox import GeoBox
from rasterio.transform import Affine
from rasterio.windows import Window

from benchmarks.measuring import Stopwatch
from lulcmap.catalog import Scene
from lulcmap.geo import footprint
from lulcmap.imagery import CompositeRules, Reader, make_composite, median, sorting_network
from lulcmap.sensors import S2_BANDS, SCL_MASKED

THREADS = 2
CORNER = (600_000.0, 5_000_040.0)


def grid_of(size: int) -> GeoBox:
    return GeoBox((size, size), Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), "EPSG:32632")


def write(path: Path, pixels: np.ndarray, *, pixel: float) -> None:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=pixels.shape[0],
        width=pixels.shape[1],
        count=1,
        dtype=pixels.dtype,
        crs="EPSG:32632",
        transform=Affine(pixel, 0, CORNER[0], 0, -pixel, CORNER[1]),
        nodata=0,
        tiled=True,
        blockxsize=512,
        blockysize=512,
        compress="deflate",
        predictor=2,
        num_threads=THREADS,
    ) as target:
        target.write(pixels, 1)


def make_scenes(folder: Path, *, size: int, dates: int) -> None:
    """A landscape with noise of about 11 bits a pixel, a third of it under cloud."""
    rng = np.random.default_rng(0)
    land = np.kron(rng.integers(500, 4000, (size // 64, size // 64)), np.ones((64, 64)))
    for date in range(dates):
        clouds = np.kron(rng.random((size // 64, size // 64)) < 0.35, np.ones((32, 32), bool))
        write(folder / f"{date}_SCL.tif", np.where(clouds, 9, 4).astype(np.uint8), pixel=20.0)
        for band in S2_BANDS:
            noise = rng.normal(0, 250, land.shape)
            write(
                folder / f"{date}_{band}.tif",
                np.clip(land + noise, 1, 15000).astype(np.uint16),
                pixel=10.0,
            )


def scene(folder: Path, date: int) -> Scene:
    return Scene(
        id=str(date),
        sensor="s2",
        acquired=datetime(2024, 6, 1),
        datatake=str(date),
        bbox=(10.0, 44.0, 12.0, 46.0),
        epsg=32632,
        orbit=None,
        orbit_state=None,
        cloud_cover=None,
        offset=0,
        assets={band: str(folder / f"{date}_{band}.tif") for band in (*S2_BANDS, "SCL")},
    )


def lulcmap_image(folder: Path, size: int, dates: int) -> np.ndarray:
    scenes = [[scene(folder, date)] for date in range(dates)]
    rules = CompositeRules(min_clear=dates, max_scenes=dates, mask_dilation=0)
    with Reader(workers=THREADS) as reader:
        composite = make_composite(
            reader.planes, grid_of(size), s2_dates=scenes, s1_passes=[], rules=rules
        )
    return composite.s2


def with_rasterio(nanmedian: Callable[..., np.ndarray]) -> Callable[[Path, int, int], np.ndarray]:
    """Read all dates of a band with rasterio in threads, mask as NaN, take the median."""

    def load(path: Path, pixels: int) -> np.ndarray:
        with rasterio.open(path) as source:
            return source.read(1, window=Window(0, 0, pixels, pixels))

    def image_of(folder: Path, size: int, dates: int) -> np.ndarray:
        image = np.zeros((len(S2_BANDS), size, size), np.uint16)
        with ThreadPoolExecutor(THREADS) as pool:
            codes = pool.map(
                load, [folder / f"{date}_SCL.tif" for date in range(dates)], [size // 2] * dates
            )
            masked = [np.isin(c, SCL_MASKED).repeat(2, 0).repeat(2, 1) for c in codes]
            stack = np.empty((dates, size, size), np.float32)
            for index, band in enumerate(S2_BANDS):
                paths = [folder / f"{date}_{band}.tif" for date in range(dates)]
                for date, plane in enumerate(pool.map(load, paths, [size] * dates)):
                    stack[date] = plane
                    stack[date][masked[date] | (plane == 0)] = np.nan
                image[index] = rounded(nanmedian, stack)
        return image

    return image_of


def rounded(nanmedian: Callable[..., np.ndarray], stack: np.ndarray) -> np.ndarray:
    """(H, W) median of (T, H, W), halves up; 0 where all is NaN."""
    stack[0][np.isnan(stack).all(0)] = 0
    return np.floor(nanmedian(stack, axis=0) + 0.5)


def item(folder: Path, date: int, size: int) -> pystac.Item:
    """A STAC item for odc-stac, with all it needs to open each file only once."""
    west, south, east, north = footprint(grid_of(size))
    assets = {}
    for band in (*S2_BANDS, "SCL"):
        pixels = size // 2 if band == "SCL" else size
        assets[band] = {
            "href": str(folder / f"{date}_{band}.tif"),
            "roles": ["data"],
            "proj:shape": [pixels, pixels],
            "proj:transform": list(grid_of(size).affine * Affine.scale(size / pixels))[:6],
        }
    return pystac.Item.from_dict(
        {
            "type": "Feature",
            "stac_version": "1.0.0",
            "stac_extensions": ["https://stac-extensions.github.io/projection/v1.1.0/schema.json"],
            "id": str(date),
            "bbox": [west, south, east, north],
            "geometry": shapely.geometry.mapping(shapely.box(west, south, east, north)),
            "properties": {"datetime": f"2024-06-{1 + date:02d}T10:00:00Z", "proj:epsg": 32632},
            "links": [],
            "assets": assets,
        }
    )


def odc_stac(folder: Path, size: int, dates: int) -> np.ndarray:
    """Read with odc-stac, without dask's graph, and take bottleneck's median: the fastest way."""
    import bottleneck
    import odc.stac

    items = [item(folder, date, size) for date in range(dates)]
    image = np.zeros((len(S2_BANDS), size, size), np.uint16)

    def load(band: str) -> np.ndarray:
        dataset = odc.stac.load(
            items,
            bands=[band],
            geobox=grid_of(size),
            dtype="uint16",
            nodata=0,
            resampling="nearest",
            pool=THREADS,
        )
        return dataset[band].values  # (T, H, W)

    masked = np.isin(load("SCL"), SCL_MASKED)
    for index, band in enumerate(S2_BANDS):
        stack = load(band).astype(np.float32)
        stack[masked | (stack == 0)] = np.nan
        image[index] = rounded(bottleneck.nanmedian, stack)
    return image


def methods() -> dict[str, Callable[[Path, int, int], np.ndarray]]:
    available = {
        "lulcmap": lulcmap_image,
        "rasterio + numpy.nanmedian": with_rasterio(np.nanmedian),
    }
    if importlib.util.find_spec("bottleneck"):
        import bottleneck

        available["rasterio + bottleneck.nanmedian"] = with_rasterio(bottleneck.nanmedian)
        if importlib.util.find_spec("odc.stac"):
            available["odc-stac + bottleneck.nanmedian"] = odc_stac
    return available


def run_one(name: str, folder: Path, size: int, dates: int) -> None:
    """In its own process: make the image, save it, print the cost."""
    methods()[name](folder, 64, dates)  # so that compiling and late imports are not timed
    watch = Stopwatch()
    image = methods()[name](folder, size, dates)
    cost = watch.cost()
    np.save(folder / "image.npy", image)
    print(json.dumps(asdict(cost)))


def compare_composites(folder: Path, *, size: int, dates: int, rounds: int) -> None:
    costs: dict[str, list[dict[str, float]]] = {name: [] for name in methods()}
    expected = None
    for turn in range(rounds):
        for name in costs:
            command = [sys.executable, "-m", "benchmarks.compositing", "--one", name]
            command += ["--folder", str(folder)]
            command += ["--size", str(size), "--dates", str(dates)]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            costs[name].append(json.loads(out))
            image = np.load(folder / "image.npy")
            expected = image if expected is None else expected
            if turn == 0:
                print(f"{name}: {np.count_nonzero(image != expected)} pixels differ from lulcmap's")
    pixels = len(S2_BANDS) * size * size / 1e6
    print(f"\nread + mask + median, {dates} dates x 9 bands x {size} x {size} px, local files")
    for name, runs in costs.items():
        cpu, wall, memory = (
            statistics.median(run[key] for run in runs) for key in ("cpu", "wall", "memory")
        )
        print(
            f"{name:34s} CPU {cpu:6.2f} s  wall {wall:6.2f} s  {pixels / cpu:6.1f} Mpx out/CPU-s  "
            f"{pixels * dates / cpu:6.1f} Mpx read/CPU-s  peak {memory:5.0f} MB"
        )


def compare_medians(*, size: int, rounds: int) -> None:
    print(f"\nmedian alone, {size} x {size} px, 45 % missing")
    rng = np.random.default_rng(0)
    for dates in (5, 12, 24):
        stack = rng.integers(1, 10000, (dates, size, size)).astype(np.uint16)
        gaps = rng.random((dates, size // 16, size // 16)) < 0.45
        stack[gaps.repeat(16, 1).repeat(16, 2)] = 0
        with_nan = np.where(stack > 0, stack, np.nan).astype(np.float32)
        with_nan[0][np.isnan(with_nan).all(0)] = 0
        out, fewest = np.zeros((size, size), np.uint16), np.full((size, size), 255, np.uint8)

        def compiled() -> None:
            median(stack, sorting_network(len(stack)), out, fewest, 0, len(out))  # noqa: B023

        contest: dict[str, Callable[[], object]] = {
            "lulcmap": compiled,
            "numpy.nanmedian": lambda: np.nanmedian(with_nan, axis=0),  # noqa: B023
        }
        if importlib.util.find_spec("bottleneck"):
            import bottleneck

            contest["bottleneck"] = lambda: bottleneck.nanmedian(with_nan, axis=0)  # noqa: B023
        compiled()
        differ = np.count_nonzero(out != np.floor(np.nanmedian(with_nan, axis=0) + 0.5))
        times: dict[str, list[float]] = {name: [] for name in contest}
        for _ in range(rounds):
            for name, make in contest.items():
                start = time.process_time()
                make()
                times[name].append(time.process_time() - start)
        rates = "  ".join(
            f"{name} {size * size / 1e6 / statistics.median(t):.2f}" for name, t in times.items()
        )
        print(f"{dates:3d} dates, Mpx out/CPU-s: {rates}  ({differ} pixels differ)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048, help="pixels a side, a multiple of 64")
    parser.add_argument("--dates", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run_one(options.one, options.folder, options.size, options.dates)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_scenes(folder, size=options.size, dates=options.dates)
        compare_composites(folder, size=options.size, dates=options.dates, rounds=options.rounds)
    compare_medians(size=min(options.size, 512), rounds=options.rounds)


if __name__ == "__main__":
    main()
