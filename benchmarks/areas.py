"""Areas of a large map by region: time, memory, and whether the regions add up to the map.

A map of land that repeats, in Lambert's equal-area projection, and regions in degrees that tile it
with rough borders are made once; FOLDER keeps them. ``lulcmap areas`` then measures the whole map
and the regions, each in its own process.

    python -m benchmarks.areas [FOLDER] [--gigapixels 1] [--regions 200]
"""

import argparse
import csv
import json
import math
import sys
import tempfile
from pathlib import Path

from benchmarks.measuring import lulcmap, measured

PATTERN = 2048
"""Pixels a side of the land that is repeated."""

CRS = "+proj=laea +lat_0=47 +lon_0=12 +datum=WGS84 +units=m +no_defs"
EDGE_M = 200
"""Metres between the corners of the regions' borders."""

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
    profile = {
        "driver": "GTiff",
        "dtype": "uint8",
        "count": 1,
        "nodata": 255,
        "compress": "deflate",
    }
    profile |= {"tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer"}
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


def make_regions(path: Path, side: int, count: int) -> int:
    """Write regions that tile the map; return the number of their corners."""
    import numpy as np
    import pyogrio
    import shapely
    from pyproj import Transformer

    rng = np.random.default_rng(SEED)
    frame = shapely.box(-5 * side, -5 * side, 5 * side, 5 * side)
    places = shapely.multipoints(rng.uniform(-5 * side, 5 * side, (count, 2)))
    cells = shapely.intersection(
        shapely.get_parts(shapely.voronoi_polygons(places, extend_to=frame)), frame
    )
    to_degrees = Transformer.from_crs(CRS, 4326, always_xy=True)

    def rough(xy: np.ndarray) -> np.ndarray:
        """Move corners off the frame by what depends on their place alone."""
        x, y = xy.T
        inside = (np.abs(xy) < 5 * side - 1).all(axis=1)
        moved = np.stack([np.sin(x / 310 + y / 170), np.cos(y / 290 - x / 230)]) * 60 * inside
        return np.column_stack(to_degrees.transform(x + moved[0], y + moved[1]))

    shapes = shapely.transform(shapely.segmentize(cells, EDGE_M), rough)
    pyogrio.raw.write(
        path,
        geometry=shapely.to_wkb(shapes),
        field_data=[np.array([f"region {i}" for i in range(len(shapes))], object)],
        fields=["name"],
        geometry_type="Polygon",
        crs="EPSG:4326",
    )
    return int(shapely.get_num_coordinates(shapes).sum())


def totals(path: Path) -> dict[str, float]:
    """Hectares of each class in a table."""
    sums: dict[str, float] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            sums[row["class"]] = sums.get(row["class"], 0) + float(row["ha"])
    return sums


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the map and the regions")
    parser.add_argument("--gigapixels", type=float, default=1.0)
    parser.add_argument("--regions", type=int, default=200)
    args = parser.parse_args()
    side = round(math.sqrt(args.gigapixels * 1e9))
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        path, regions = folder / f"map-{side}.tif", folder / f"regions-{side}-{args.regions}.gpkg"
        corners = regions.with_suffix(".json")
        if not path.exists():
            make_map(path, side)
        if not corners.exists():
            corners.write_text(json.dumps(make_regions(regions, side, args.regions)))
        print(f"{side:,} x {side:,} px; {args.regions} regions, {corners.read_text()} corners")
        cases = {"whole": [], "by region": ["--regions", str(regions)]}
        for name, words in cases.items():
            out = folder / f"{name}.csv"
            options = [*words, "--out", str(out), "--overwrite"]
            cost, _ = measured(lulcmap("areas", str(path), *options))
            print(f"{name}: {cost}")
        whole, split = (totals(folder / f"{name}.csv") for name in cases)
        off = max(abs(split[name] / area - 1) for name, area in whole.items())
        print(f"regions add up to the map, but for {off:.1e}")
        sys.exit(off > 1e-6)


if __name__ == "__main__":
    main()
