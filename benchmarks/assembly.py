"""Joining the blocks of a country and writing its COG: memory, time and temporary disk.

A country in two UTM zones, with a border of 300,000 corners, islands and lakes, is filled with
blocks as a run writes them; FOLDER keeps them for the next time (a small country has fewer corners
and smaller blocks). Each step runs in its own process: ``join`` joins the blocks and throws the
pixels away, ``write`` joins them and writes the map, ``cog`` writes it from a plain file of the
same pixels, ``peer`` has GDAL's COG driver do that. Pixels of the map are compared with the blocks.

    python -m benchmarks.assembly [FOLDER] [--gigapixels 6]
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.measuring import Cost, measured

if TYPE_CHECKING:  # the process that starts the others stays small
    import numpy as np
    import shapely
    from numpy.typing import NDArray
    from odc.geo.geobox import GeoBox

    from lulcmap.output import ZoneBlocks
    from lulcmap.run import RunFolder

LON, LAT = 12, 47
"""Centre of the country, degrees: where zones 32 and 33 meet."""

CRS = f"+proj=laea +lat_0={LAT} +lon_0={LON} +datum=WGS84 +units=m +no_defs"
"""CRS of the map, as ``map_grids`` gives it to a country too wide for a UTM zone."""

CORNERS = 300_000
"""Corners of the border of a country of a gigapixel or more; islands and lakes add a tenth."""

BLOCKS = 4608, 1536
"""Pixels a side of a block, and of a block of a country below a gigapixel."""

SMALL = 1e11 / 111_200**2 / math.cos(math.radians(LAT))
"""Square degrees of a gigapixel here."""

PATTERN = 1536
"""Pixels a side of the land that is repeated in a block."""

PATTERNS = 4
"""Number of different blocks in a zone."""

SEED = 41
PIXELS = 20_000
"""Pixels to compare."""

NEAR_M = 1000
"""Metres from the border of the zones within which a pixel may come from either."""

MODULE = [sys.executable, "-m", "benchmarks.assembly"]
"""Command of a step."""

MAP, PLAIN, AGAIN, PEER = "map.tif", "plain.tif", "again.tif", "peer.tif"


def country(gigapixels: float) -> "shapely.MultiPolygon":
    """A country of about this many pixels of 10 m, in degrees."""
    import numpy as np
    import shapely

    rng = np.random.default_rng(SEED)
    radius = math.sqrt(gigapixels * 1e9 * 100 / math.pi) / 111_200  # degrees of latitude
    corners = 2 * round(CORNERS / 2 * min(1, math.sqrt(gigapixels)))
    land = _round(rng, 0, 0, radius, corners=corners)
    lakes, islands = [], []
    for number in range(60):
        turn = math.radians(45 + 90 * (number % 4) + rng.uniform(-7, 7))
        away, size = radius * rng.uniform(1.24, 1.32), radius * rng.uniform(0.003, 0.01)
        islands.append(
            _round(rng, away * math.cos(turn), away * math.sin(turn), size, corners=corners // 1200)
        )
        x, y = rng.uniform(-0.5, 0.5, 2) * radius
        lakes.append(_round(rng, x, y, size, corners=corners // 1200))
    whole = shapely.union_all([shapely.difference(land, shapely.union_all(lakes)), *islands])
    wide = 1 / math.cos(math.radians(LAT))
    return shapely.transform(
        shapely.MultiPolygon(shapely.get_parts(whole).tolist()),
        lambda xy: xy * [wide, 1] + [LON, LAT],
    )


def _round(
    rng: "np.random.Generator", x: float, y: float, radius: float, *, corners: int
) -> "shapely.Polygon":
    """A rough disk around a point: its radius is noise at all wavelengths."""
    import numpy as np
    import shapely

    waves = np.arange(corners // 2 + 1)
    strength = 0.05 * corners * np.maximum(waves, 3) ** -1.3 * (waves > 0)
    phase = rng.uniform(0, 2 * np.pi, waves.size)
    rough = radius * (1 + np.fft.irfft(strength * np.exp(1j * phase), corners))
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    return shapely.Polygon(np.column_stack([x + rough * np.cos(turn), y + rough * np.sin(turn)]))


def make(folder: Path, gigapixels: float) -> None:
    """Make the country, and the block files that are missing."""
    import numpy as np
    import rasterio
    import shapely

    from lulcmap.geo import BlockId, geobox
    from lulcmap.run import BlockFacts

    facts = BlockFacts(plan="", device="", pixels={}, classes={}, used=(), unmasked=(), lost=())
    outline = folder / "country.wkb"
    if not outline.exists():
        outline.write_bytes(shapely.to_wkb(country(gigapixels)))
    run, whole = _run(folder), {}
    run.path.joinpath("blocks").mkdir(parents=True, exist_ok=True)
    base = _land()
    for epsg, _, blocks in _zones(folder):
        for (row, col), box in blocks:
            path, kind = run.block_path(BlockId(epsg, row, col)), (row * 3 + col) % PATTERNS
            if path.exists():
                whole.setdefault((epsg, kind, box.shape), path)
                continue
            on, like = geobox(box, epsg), whole.get((epsg, kind, box.shape))
            if like is None:
                bands = np.roll(base, (379 * kind, 211 * kind + epsg), axis=(1, 2))
                times = (1, *(-(-length // PATTERN) for length in box.shape))
                bands = np.ascontiguousarray(np.tile(bands, times)[:, : box.height, : box.width])
                run.write_block(BlockId(epsg, row, col), bands, on, facts)
                whole[epsg, kind, box.shape] = path
            else:  # copying takes a tenth of the time
                part = path.with_suffix(".tif.part")
                part.write_bytes(like.read_bytes())
                with rasterio.open(part, "r+") as copied:
                    copied.transform = on.affine
                part.replace(path)


def _land() -> "NDArray[np.uint8]":
    """(6, PATTERN, PATTERN) bands of a piece of land; one pixel in 33 differs from those around."""
    import numpy as np

    from lulcmap.simulation import make_land

    rng = np.random.default_rng(SEED)
    shape = (PATTERN, PATTERN)
    classes = make_land(np.uint64(SEED), shape).truth.copy()
    odd = rng.random(shape) < 0.03
    classes[odd] = rng.integers(0, 9, odd.sum(), np.uint8)
    scores = (60 + rng.integers(0, 3, shape) + 4 * (classes % 3)).astype(np.uint8)
    coarse = rng.integers(4, 7, (2, PATTERN // 48, PATTERN // 48), np.uint8)
    counts = coarse.repeat(48, axis=1).repeat(48, axis=2)
    return np.stack([classes, scores, scores // 2, *counts, np.full(shape, 3, np.uint8)])


def _run(folder: Path) -> "RunFolder":
    from lulcmap.run import RunFolder

    return RunFolder(folder / "run")


def _zones(folder: Path) -> "Iterator[tuple[int, shapely.MultiPolygon, list]]":
    """EPSG code, part of the country in degrees, and numbers and boxes of the blocks, by zone."""
    import shapely

    from lulcmap.geo import Lattice, covering_box, geobox, project, split_by_zone

    polygon = shapely.from_wkb((folder / "country.wkb").read_bytes())
    for zone_part in split_by_zone(polygon):
        epsg, part = zone_part.epsg, zone_part.polygon
        there = project(part, f"EPSG:{epsg}")
        reach = shapely.box(*there.bounds).buffer(20).intersection(there.simplify(50).buffer(100))
        area = shapely.MultiPolygon([shapely.box(*there.bounds).buffer(20)])
        shapely.prepare(reach)
        blocks = Lattice().blocks(covering_box(area), block_size=BLOCKS[polygon.area < SMALL])
        yield (
            epsg,
            part,
            [
                (number, box)
                for number, box in blocks
                if shapely.intersects(reach, geobox(box, epsg).extent.geom)
            ],
        )


def _target(folder: Path) -> "tuple[shapely.MultiPolygon, GeoBox]":
    import shapely

    from lulcmap.geo import covering_grid, project

    polygon = project(shapely.from_wkb((folder / "country.wkb").read_bytes()), CRS)
    return polygon, covering_grid(polygon, CRS)


def _sources(folder: Path) -> "list[ZoneBlocks]":
    from lulcmap.geo import BlockId, project
    from lulcmap.output import ZoneBlocks

    run = _run(folder)
    return [
        ZoneBlocks(
            epsg,
            project(part, CRS),
            [(run.block_path(BlockId(epsg, *number)), box) for number, box in blocks],
        )
        for epsg, part, blocks in _zones(folder)
    ]


def write(folder: Path) -> None:
    """Join the blocks, write the map, and its pixel counts to ``joined.json``."""
    import numpy as np

    from lulcmap.output import joined_map, write_cog

    polygon, on = _target(folder)
    counts = np.zeros(256, np.int64)
    raster = joined_map(_sources(folder), target=on, polygon=polygon, counts=counts)
    write_cog(raster, folder / MAP, tags={"LULCMAP_PLAN": "0"})
    summary = {"pixels": int(counts.sum()), "empty": int(counts[255]), "grid": math.prod(on.shape)}
    (folder / "joined.json").write_text(json.dumps(summary))


def join(folder: Path) -> None:
    """Join the blocks, and throw the pixels away."""
    from lulcmap.output import joined_map
    from lulcmap.system import threads

    polygon, on = _target(folder)
    with threads() as workers:
        for _ in joined_map(_sources(folder), target=on, polygon=polygon).pieces(workers):
            pass


def peer(folder: Path) -> None:
    """Have GDAL's COG driver write the map again, from a plain file of the same pixels."""
    import rasterio
    from rasterio.shutil import copy

    options = {"BLOCKSIZE": 512, "COMPRESS": "DEFLATE", "LEVEL": 6, "PREDICTOR": "NO"}
    with rasterio.Env(GDAL_PAM_ENABLED="NO"):
        copy(
            folder / PLAIN,
            folder / PEER,
            driver="COG",
            OVERVIEW_RESAMPLING="MODE",
            BIGTIFF="IF_SAFER",
            SPARSE_OK=True,
            NUM_THREADS="ALL_CPUS",
            **options,
        )


def cog(folder: Path) -> None:
    """Write the map from the same plain file as the peer."""
    from lulcmap.output import write_cog

    write_cog(folder / PLAIN, folder / AGAIN, tags={"LULCMAP_PLAN": "0"})


def plain(folder: Path) -> None:
    """Make the plain file of the map's pixels."""
    import rasterio

    with rasterio.open(folder / MAP) as dataset:
        layout = {**dataset.profile, "driver": "GTiff", "zlevel": 1, "sparse_ok": True}
        with rasterio.open(folder / PLAIN, "w", **layout) as out:
            for _, window in dataset.block_windows(1):
                out.write(dataset.read(window=window), window=window)


def check(folder: Path) -> None:
    """Compare random pixels of the COG with the block files."""
    import numpy as np
    import rasterio
    import shapely
    from pyproj import Transformer

    polygon, on = _target(folder)
    rng = np.random.default_rng(SEED)
    rows, cols = rng.integers(0, on.shape[0], PIXELS), rng.integers(0, on.shape[1], PIXELS)
    x, y = on.affine.c + (cols + 0.5) * 10, on.affine.f - (rows + 0.5) * 10
    shapely.prepare(polygon)
    inside = shapely.contains_xy(polygon, x, y)
    held = np.full((2, PIXELS), 255, np.uint8)
    for values, zone in zip(held, _sources(folder), strict=True):
        to_zone = Transformer.from_crs(CRS, zone.epsg, always_xy=True)
        easting, northing = to_zone.transform(x, y)
        row, col = np.floor(-northing / 10), np.floor(easting / 10)
        for path, box in zone.blocks:
            in_block = inside & (row >= box.row) & (row < box.stop[0])
            in_block &= (col >= box.col) & (col < box.stop[1])
            places = np.column_stack([easting[in_block], northing[in_block]])
            with rasterio.open(path) as block:  # by the block file's own georeference
                values[in_block] = [value[0] for value in block.sample(places, indexes=1)]
    own, other = np.where(x < 0, held, held[::-1])  # the border of the zones is the middle meridian
    with rasterio.open(folder / MAP) as cog:
        mapped = np.array([value[0] for value in cog.sample(np.column_stack([x, y]))], np.uint8)
    right = (mapped == own) | ((mapped == other) & (np.abs(x) < NEAR_M))
    differ = int((~right).sum())
    print(
        f"{PIXELS:,} pixels compared, {int(inside.sum()):,} of them inside the country: "
        f"{differ} differ"
    )
    if differ or (own[inside] == 255).any():
        sys.exit("The map differs from the blocks.")


def cost_of(folder: Path, step: str) -> tuple[Cost, int]:
    """Run a step in its own process; its cost, and the most bytes that it had on disk."""
    before, most, ended = _size(folder), 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.wait(0.05):
            most = max(most, _size(folder) - before)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    cost, _ = measured([*MODULE, str(folder), "--step", step])
    ended.set()
    watcher.join()
    return cost, most


def _size(folder: Path) -> int:
    total = 0
    for entry in os.scandir(folder):
        try:
            total += entry.stat().st_size if entry.is_file() else 0
        except FileNotFoundError:  # renamed in the meantime
            continue
    return total


def measure(folder: Path, gigapixels: float) -> float:
    """Print the table; return the largest peak memory, GiB."""
    command = [*MODULE, str(folder), "--gigapixels", str(gigapixels)]
    subprocess.run([*command, "--step", "make"], check=True)
    for name in (MAP, PLAIN, AGAIN, PEER):
        (folder / name).unlink(missing_ok=True)
    costs = {step: cost_of(folder, step) for step in ("join", "write", "plain", "cog", "peer")}
    subprocess.run([*MODULE, str(folder), "--step", "check"], check=True)
    summary = json.loads((folder / "joined.json").read_text())
    if (folder / AGAIN).read_bytes() != (folder / MAP).read_bytes():
        sys.exit("The map written from a plain file differs.")
    filled = summary["pixels"] - summary["empty"]
    print(
        f"{filled / 1e9:.2f} gigapixels mapped on a grid of {summary['grid'] / 1e9:.2f}; blocks "
        f"{_size(folder / 'run' / 'blocks') / filled:.2f}, map "
        f"{(folder / MAP).stat().st_size / filled:.3f}, GDAL's "
        f"{(folder / PEER).stat().st_size / filled:.3f} bytes a mapped pixel"
    )
    print("step     wall s     CPU s  s/gigapixel  peak MiB  peak disk, bytes a mapped pixel")
    for step, (cost, disk) in costs.items():
        print(
            f"{step:5s}  {cost.wall:8.1f}  {cost.cpu:8.1f}  {cost.wall / filled * 1e9:11.1f}"
            f"  {cost.memory * 1e6 / 2**20:8.0f}  {disk / filled:10.3f}"
        )
    return max(costs[step][0].memory for step in ("join", "write", "cog")) * 1e6 / 2**30


STEPS = {
    "make": None,
    "join": join,
    "write": write,
    "check": check,
    "plain": plain,
    "cog": cog,
    "peer": peer,
}
"""What a process of its own does."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the blocks for the next time")
    parser.add_argument("--gigapixels", type=float, default=6.0, help="size of the country")
    parser.add_argument("--memory", type=float, default=2.0, help="most peak memory allowed, GiB")
    parser.add_argument("--step", choices=[*STEPS], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step == "make":
        make(options.folder, options.gigapixels)
    elif options.step:
        STEPS[options.step](options.folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            folder = options.folder or Path(temporary)
            folder.mkdir(parents=True, exist_ok=True)
            memory = measure(folder, options.gigapixels)
        if memory > options.memory:
            sys.exit(f"Peak memory is {memory:.2f} GiB, more than {options.memory:g} GiB.")


if __name__ == "__main__":
    main()
