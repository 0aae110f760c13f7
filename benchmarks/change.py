"""Change between large maps: time, memory, and whether the matrix is that of a count while writing.

Maps of land that repeats, each year with errors and with land that becomes built, are made once;
FOLDER keeps them. ``lulcmap change`` then compares two of them and all of them, each in its own
process.

    python -m benchmarks.change [FOLDER] [--gigapixels 1] [--years 3]
"""

import argparse
import csv
import json
import math
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measuring import lulcmap, measured

PATTERN = 2048
"""Pixels a side of the land that is repeated."""

CRS = "+proj=laea +lat_0=47 +lon_0=12 +datum=WGS84 +units=m +no_defs"
ERRORS = 0.05
"""Share of the pixels that each map shows wrongly, as blots of 4 x 4 pixels."""

SEED = 21


def make_maps(paths: list[Path], side: int) -> None:
    """Write square maps, and beside the first one the pixels of each pair of first and last."""
    import numpy as np
    import rasterio
    from affine import Affine
    from rasterio.windows import Window

    from lulcmap.legend import CLASS_TAG, CLASSES
    from lulcmap.simulation import make_land

    rng = np.random.default_rng(SEED)
    land = make_land(np.uint64(SEED), (PATTERN, PATTERN)).truth.copy()
    years = []
    for year in range(len(paths)):
        if year == len(paths) // 2:
            land = land.copy()
            land[300:600, 500:900] = 6
        blots = np.kron(rng.random((PATTERN // 4,) * 2) < ERRORS, np.ones((4, 4), bool))
        years.append(np.where(blots, rng.integers(0, 9, land.shape), land).astype(np.uint8))
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "nodata": 255,
        "compress": "deflate",
    }
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer"}
    transform = Affine(10, 0, -5 * side, 0, -10, 5 * side)
    counts = np.zeros(100, np.int64)
    with ExitStack() as stack:
        files = [
            stack.enter_context(
                rasterio.open(
                    path, "w", height=side, width=side, crs=CRS, transform=transform, **profile
                )
            )
            for path in paths
        ]
        for file in files:
            file.update_tags(1, **{f"{CLASS_TAG}{one.id}": one.name for one in CLASSES})
            file.write_colormap(1, {one.id: one.rgb for one in CLASSES})
        for row in range(0, side, PATTERN):
            for col in range(0, side, PATTERN):
                height, width = min(PATTERN, side - row), min(PATTERN, side - col)
                shown = [
                    np.roll(one, (row // 7, col // 5), axis=(0, 1))[:height, :width]
                    for one in years
                ]
                for file, one in zip(files, shown, strict=True):
                    file.write(one, 1, window=Window(col, row, width, height))
                pairs = shown[0].astype(np.int64) * 10 + shown[-1]
                counts += np.bincount(pairs.ravel(), minlength=100)
    found = {str(pair): int(count) for pair, count in enumerate(counts) if count}
    paths[0].with_suffix(".json").write_text(json.dumps(found))


def matrix(path: Path) -> dict[str, int]:
    """Pixels of each pair in a table."""
    with path.open(newline="") as file:
        return {
            str(10 * int(row["first_id"]) + int(row["last_id"])): round(float(row["pixels"]))
            for row in csv.DictReader(file)
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the maps")
    parser.add_argument("--gigapixels", type=float, default=1.0)
    parser.add_argument("--years", type=int, default=3)
    args = parser.parse_args()
    side = round(math.sqrt(args.gigapixels * 1e9))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"{2020 + year}-{side}-{args.years}.tif" for year in range(args.years)]
        if not paths[0].with_suffix(".json").exists():
            make_maps(paths, side)
        counted = json.loads(paths[0].with_suffix(".json").read_text())
        print(f"{side:,} x {side:,} px, {args.years} years")
        for name, maps in (("two maps", [paths[0], paths[-1]]), ("all maps", paths)):
            table, out = folder / f"{name}.csv", folder / f"{name}.tif"
            words = [*map(str, maps), "--table", str(table), "--overwrite", "--out", str(out)]
            cost, _ = measured(lulcmap("change", *words))
            print(f"{name}: {cost}", flush=True)
        same = matrix(folder / "two maps.csv") == counted
        print(f"the matrix of two maps is {'' if same else 'NOT '}that of the count")
        sys.exit(not same)


if __name__ == "__main__":
    main()
