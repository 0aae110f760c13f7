"""Whether a map shows where it was cut: a simulated country along the border of two UTM zones.

Like real scenes, every scene exists on the grids of both zones, resampled by nearest neighbour. The
country is mapped with the demo's model, and ``lulcmap seams`` compares how often the class changes
across borders with how often it changes 32 px away. Then the file of one block is shifted by three
pixels, which must be found.

    python -m benchmarks.seams [FOLDER] [--height 10752]
"""

import argparse
import copy
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from tests.end_to_end.test_two_zones import on_the_next_grid

WIDTH = 640
"""Pixels of the country from west to east; the border is near its centre."""

BLOCK = 1536
YEAR = 2024


def simulate_country(folder: Path, height: int) -> None:
    """Simulate a long country on both sides of 12 degrees east."""
    from lulcmap.simulation import Country, simulate

    # 12 degrees east is at an easting of 724.3 km in the north, of 728.5 km 108 km further south.
    west = 726_400 - WIDTH * 5
    scenes = simulate(
        folder,
        Country(
            seed=4,
            height=height,
            width=WIDTH,
            west=west,
            north=5_306_000,
            s2_dates=5,
            s1_dates=4,
            cloud=0.2,
        ),
    )
    collection = json.loads(scenes.items.read_text())
    twins = []
    for item in collection["features"]:
        twin = copy.deepcopy(item)
        twin["id"] = f"{item['id']}-33"
        for asset in twin["assets"].values():
            source = folder / asset["href"]
            moved = source.with_name(f"33-{source.name}")
            shutil.copy(source, moved)
            asset["href"] = f"./{moved.relative_to(folder)}"
        on_the_next_grid(twin, folder)
        twins.append(twin)
    collection["features"] += twins
    scenes.items.write_text(json.dumps(collection))


def lulcmap(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lulcmap", *words]
    return subprocess.run(command, text=True, capture_output=True, check=False)


def make(folder: Path, name: str) -> Path:
    """Map the country, if it is not mapped yet, and keep the run."""
    out = folder / f"{name}.tif"
    if not out.exists():
        words = ["predict", "--aoi", str(folder / "aoi.geojson"), "--year", str(YEAR)]
        words += ["--catalog", str(folder / "items.json"), "--block-size", str(BLOCK)]
        words += ["--model", "lulcformer-tiny"]
        result = lulcmap(*words, "--out", str(out), "--device", "cpu", "--keep-run")
        if result.returncode not in (0, 4):
            sys.exit(result.stderr)
    return out


def judge(title: str, path: Path, *, seams: bool) -> bool:
    """Print the output of ``lulcmap seams``; return whether it is the expected one."""
    result = lulcmap("seams", str(path))
    print(f"{title}: exit code {result.returncode}\n{result.stdout}{result.stderr}")
    return result.returncode == int(seams)


def shift(run: Path) -> None:
    """Shift the pixels of the largest block by three rows."""
    path = max(run.glob("blocks/*.tif"), key=lambda path: path.stat().st_size)
    with rasterio.open(path, "r+") as block:
        block.write(np.roll(block.read(), 3, axis=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the country and its maps")
    parser.add_argument("--height", type=int, default=10_752, help="pixels from north to south")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        if not (folder / "items.json").exists():
            simulate_country(folder, args.height)
        good = judge("the map", make(folder, "map"), seams=False)
        shutil.copytree(folder / "map.tif.run", folder / "shifted.tif.run", dirs_exist_ok=True)
        shift(folder / "shifted.tif.run")
        good &= judge("one block shifted", folder / "shifted.tif.run", seams=True)
    sys.exit(not good)


if __name__ == "__main__":
    main()
