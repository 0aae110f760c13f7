"""How fast a map of gigapixels is shown: tiles of a pan, areas of its views, and memory.

    python -m benchmarks.viewer --out FOLDER [--side 30720] [--at-once 4]

Makes a map of classes in patches once (``FOLDER/country.tif``, a COG as ``lulcmap predict`` writes
it), serves it in a process of its own as ``lulcmap view`` does, and asks what a browser asks while
a user pans and zooms: 24 tiles for each view, some at once, and the areas of the view.
"""

import argparse
import os
import random
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

_VIEWS = 12
"""Views at each zoom."""


def make_map(path: Path, side: int) -> None:
    """A map of patches of 10 to 200 pixels, with noise at their borders."""
    from lulcmap.output.cog import PLAN_TAG, write_cog

    raw, step, rng = path.with_suffix(".raw.tif"), 1024, np.random.default_rng(0)
    profile = {
        **{"driver": "GTiff", "width": side, "height": side, "count": 1, "dtype": "uint8"},
        **{"nodata": 255, "crs": "EPSG:32632", "tiled": True, "blockxsize": 512, "blockysize": 512},
        **{"transform": Affine(10, 0, 300_000, 0, -10, 6_300_000), "compress": "deflate"},
    }
    with rasterio.open(raw, "w", **profile) as file:
        for row in range(0, side, step):
            for col in range(0, side, step):
                size = int(rng.choice([16, 32, 64, 128]))
                coarse = rng.integers(0, 9, (step // size, step // size), np.uint8)
                values = np.kron(coarse, np.ones((size, size), np.uint8))
                moved = rng.integers(-3, 4, (2, step, step))
                at = (np.indices((step, step)) + moved).clip(0, step - 1)
                block = values[at[0], at[1]][: side - row, : side - col]
                file.write(block, 1, window=Window(col, row, block.shape[1], block.shape[0]))
    write_cog(raw, path, tags={PLAN_TAG: "benchmark"})
    raw.unlink()


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident memory of a process now and at most, MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    now, most = (int(re.search(rf"{key}:\s+(\d+)", text)[1]) / 1024 for key in ("VmRSS", "VmHWM"))
    return now, most


def cpu_ms(pid: int) -> float:
    """Processor time that a process has taken, milliseconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(address: str, path: str) -> tuple[float, int]:
    """Milliseconds of an answer, and its bytes."""
    import http.client

    host, token = re.match(r"http://([^/]+)/([^/]+)/", address).groups()
    start = time.perf_counter()
    connection = http.client.HTTPConnection(host)
    connection.request("GET", f"/{token}/{path}")
    content = connection.getresponse().read()
    connection.close()
    return 1000 * (time.perf_counter() - start), len(content)


def measure(address: str, path: Path, pid: int, at_once: int) -> None:
    """Print a row for each zoom."""
    from lulcmap.viewer.maps import open_maps

    (one,) = open_maps([path])
    west, south, east, north = one.bounds
    random.seed(1)
    print("| zoom | CPU ms a tile | ms, median | 95 % | KB | areas, CPU ms | areas, ms |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    for zoom in range(6, one.parts[0].max_zoom + 1):
        times, sizes, areas, cpu = [], [], [], [0.0, 0.0]
        for _ in range(_VIEWS):
            lon, lat = random.uniform(west, east), random.uniform(south, north)
            n = 2**zoom
            x = int((lon + 180) / 360 * n)
            y = int((0.5 - np.arctanh(np.sin(np.radians(lat))) / (2 * np.pi)) * n)
            tiles = [f"api/tiles/0/{zoom}/{x + i}/{y + j}" for i in range(6) for j in range(4)]
            start = cpu_ms(pid)
            with ThreadPoolExecutor(at_once) as pool:
                found = list(pool.map(lambda tile: ask(address, tile), tiles))
            middle = cpu_ms(pid)
            times += [ms for ms, _ in found]
            sizes += [size for _, size in found]
            wide, tall = 360 / n * 6, 360 / n * 4 * np.cos(np.radians(lat))
            view = f"west={lon}&east={lon + wide}&south={lat - tall}&north={lat}"
            areas.append(ask(address, f"api/areas/0?{view}")[0])
            cpu = [cpu[0] + middle - start, cpu[1] + cpu_ms(pid) - middle]
        print(
            f"| {zoom} | {cpu[0] / len(times):.0f} | {np.median(times):.0f} "
            f"| {np.percentile(times, 95):.0f} | {np.mean(sizes) / 1024:.1f} "
            f"| {cpu[1] / _VIEWS:.0f} | {np.median(areas):.0f} |"
        )
    now, peak = memory_mb(pid)
    print(f"\nMemory of the server: {now:.0f} MB, at most {peak:.0f} MB.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side", type=int, default=30_720, help="rows and columns")
    parser.add_argument("--at-once", type=int, default=4, help="requests at once")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "country.tif"
    if not path.exists():
        make_map(path, options.side)
    command = [sys.executable, "-u", "-m", "lulcmap", "view", str(path), "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
    try:
        start = time.perf_counter()
        address = server.stdout.readline().strip()
        print(f"{path.stat().st_size / 2**20:.0f} MB; served after", end=" ")
        print(f"{time.perf_counter() - start:.1f} s, {memory_mb(server.pid)[0]:.0f} MB of memory\n")
        ask(address, "api/areas/0?west=-180&south=-85&east=180&north=85")
        measure(address, path, server.pid, options.at_once)
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
