"""Clean a large map and cut it into polygons: time, memory, and whether the result is right.

A map of noisy land that repeats, in Lambert's equal-area projection, is made once; FOLDER keeps
it. ``lulcmap clean`` and ``lulcmap polygons`` then run, each in its own process. Parts of the
cleaned map, far from its edges, are compared with the same parts cleaned alone: there nothing
depends on what lies beyond. The polygons' hectares are compared with the cleaned map's.

    python -m benchmarks.patches [FOLDER] [--gigapixels 1] [--min-area 0.5ha]
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import Cost, lulcmap, measured

CRS = "+proj=laea +lat_0=47 +lon_0=12 +datum=WGS84 +units=m +no_defs"

PATTERN = 2048
"""Pixels a side of the land that is repeated."""

PART, MARGIN = 1024, 256
"""Side of a part that is compared, and what is read around it, pixels."""

PARTS = 12

SEED = 21


def make_map(path: Path, side: int) -> None:
    """Write a square map; one pixel in 33 differs from those around it."""
    import numpy as np
    import rasterio
    from affine import Affine
    from rasterio.windows import Window

    from lulcmap.legend import CLASS_TAG, CLASSES
    from lulcmap.simulation import make_land

    rng = np.random.default_rng(SEED)
    land = make_land(np.uint64(SEED), (PATTERN, PATTERN)).truth.copy()
    odd = rng.random(land.shape) < 0.03
    land[odd] = rng.integers(0, 9, odd.sum(), np.uint8)
    part = path.with_suffix(".part.tif")
    profile = {"driver": "GTiff", "dtype": "uint8", "count": 1, "nodata": 255}
    profile |= {"compress": "deflate", "tiled": True, "blockxsize": 512, "blockysize": 512}
    transform = Affine(10, 0, -5 * side, 0, -10, 5 * side)
    with rasterio.open(
        part, "w", height=side, width=side, crs=CRS, transform=transform, **profile
    ) as file:
        file.update_tags(1, **{f"{CLASS_TAG}{cover.id}": cover.name for cover in CLASSES})
        for row in range(0, side, PATTERN):
            for col in range(0, side, PATTERN):
                height, width = min(PATTERN, side - row), min(PATTERN, side - col)
                shifted = np.roll(land, (row // 7, col // 5), axis=(0, 1))[:height, :width]
                file.write(shifted, 1, window=Window(col, row, width, height))
    part.replace(path)


def run(command: list[str]) -> tuple[dict, Cost]:
    """Run a command of lulcmap; its result and its cost."""
    cost, output = measured(lulcmap(*command, "--json"))
    return json.loads(output), cost


def compare(path: Path, cleaned: Path, side: int, min_area: str, folder: Path) -> int:
    """Pixels of some parts of the cleaned map that differ from the parts cleaned alone."""
    import numpy as np
    import rasterio
    from rasterio.windows import Window

    from lulcmap import clean_map

    rng, wrong = np.random.default_rng(SEED), 0
    alone, out = folder / "part.tif", folder / "part-clean.tif"
    reach = PART + 2 * MARGIN
    with rasterio.open(path) as before, rasterio.open(cleaned) as after:
        for _ in range(PARTS):
            row, col = (int(place) for place in rng.integers(0, side - reach, 2))
            window = Window(col, row, reach, reach)
            profile = {**before.profile, "height": reach, "width": reach}
            profile["transform"] = before.window_transform(window)
            with rasterio.open(alone, "w", **profile) as file:
                file.write(before.read(1, window=window), 1)
                file.update_tags(1, **before.tags(1))
            clean_map(alone, out, min_area=min_area, overwrite=True)
            inner = slice(MARGIN, MARGIN + PART)
            with rasterio.open(out) as file:
                expected = file.read(1)[inner, inner]
            found = after.read(1, window=window)[inner, inner]
            wrong += int(np.count_nonzero(found != expected))
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--gigapixels", type=float, default=1)
    parser.add_argument("--min-area", default="0.5ha")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        side = round((args.gigapixels * 1e9) ** 0.5)
        path, cleaned = folder / f"map-{side}.tif", folder / f"clean-{side}.tif"
        if not path.exists():
            make_map(path, side)
        print(f"map of {side:,} x {side:,} pixels, {path.stat().st_size / 1e6:,.0f} MB", flush=True)

        words = ["clean", str(path), "--min-area", args.min_area, "--out", str(cleaned)]
        report, figures = run([*words, "--overwrite"])
        print(f"clean: {figures}; {report['patches']:,} patches, {report['moved_percent']} % moved")
        wrong = compare(path, cleaned, side, args.min_area, folder)
        print(f"  {wrong} of {PARTS * PART**2:,} pixels differ from parts cleaned alone")

        after = sum(row["after_ha"] for row in report["classes"])
        out = folder / f"polygons-{side}.gpkg"
        polygons, figures = run(["polygons", str(cleaned), "--out", str(out), "--overwrite"])
        size, share = out.stat().st_size / 1e6, abs(polygons["ha"] / after - 1)
        print(f"polygons: {figures}; {polygons['polygons']:,} in {polygons['tiles']} tiles")
        print(f"  {size:,.0f} MB; their area differs from the map's by {share:.1e}")
        if wrong or share > 1e-9:
            sys.exit("the result is wrong")


if __name__ == "__main__":
    main()
