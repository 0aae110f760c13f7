"""Cost of a whole map, from items to COG, beside that of a careful script with odc-stac.

A country is simulated in its own process: 12 dates of Sentinel-2 and 6 of Sentinel-1 over an area
of 2300 x 2300 px, one block. ``lulcmap predict`` and ``peers/odc_stac_map.py`` map it from the same
items, on the same grid, with the same ONNX file and the same rules. The maps are compared first;
then both run in turns, each in a new process; medians are printed. With ``--http`` the files come
from a server on the loopback. With ``--growth`` the country of ``scale.py`` is mapped too, 4 and 64
blocks of it, for the memory.

    pip install odc-stac bottleneck
    python -m benchmarks.end_to_end [FOLDER] [--rounds 3] [--http] [--growth] [--small]

FOLDER keeps the countries. ``--small`` maps 160 x 160 px once, and shows that both still agree.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import scale
from benchmarks.measuring import Cost, lulcmap, measured, median_cost
from benchmarks.serving import served

YEAR, EPSG = scale.YEAR, scale.EPSG
PROJECT = Path(__file__).parents[1]
PEER = PROJECT / "benchmarks" / "peers" / "odc_stac_map.py"

FIRST_ROW, FIRST_COL = -534528, 46080
"""First pixel of the first window: the corner of a block of 4608 px lies in its middle."""

INSET_PX = 260
"""Pixels from there to the area: just inside the block."""

WINDOW, STEP = 512, 384

BESIDE_PX = 128
"""Pixels by which the scenes reach beyond the windows, so that tiles and windows do not align."""

SMALL, SMALL_DATES, SMALL_RULES = 160, (3, 2), ("--min-clear", "2")
"""What ``--small`` maps: four windows, of three dates the first two that are clear."""

DIRECT = {"no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}

MAX_DIFFERING = 1e-4
"""Share of the pixels whose label may differ: numpy rounds a sum in another place."""

MIN_CPU, MIN_WALL, MAX_GROWTH = 4.0, 5.0, 0.1
"""What is aimed at: how many times the CPU and the wall time of lulcmap the script takes, and the
growth of lulcmap's memory in that of the script's."""


@dataclass(frozen=True)
class Case:
    """An area to map, and how."""

    folder: Path
    """Folder of its scenes."""

    area: Path
    """Its outline."""

    box: tuple[int, int, int, int]
    """First row and column, rows and columns of its map, pixels of the zone."""

    model: str
    """Path of the ONNX file."""

    block_size: int = 4608
    """Pixels a side of lulcmap's blocks."""

    peer: tuple[str, ...] = ()
    """Options of the script."""

    rules: tuple[str, ...] = ()
    """Options of lulcmap; the script follows the rules that it planned."""

    items: str = "items.json"
    """File of its items."""

    def lulcmap(self, out: Path) -> list[str]:
        """The command of lulcmap."""
        words = ["predict", "--year", str(YEAR), "--aoi", str(self.area), "--model", self.model]
        words += ["--catalog", str(self.folder / self.items), "--out", str(out / "lulcmap.tif")]
        words += ["--block-size", str(self.block_size), "--keep-run", "--json", *self.rules]
        return lulcmap(*words)

    def script(self, out: Path) -> list[str]:
        """The command of the script."""
        return [sys.executable, str(PEER), str(out / "job.json"), str(out / "peer.tif"), *self.peer]

    def write_job(self, out: Path) -> None:
        """Write what the script has to know: the scenes that lulcmap's run has chosen."""
        plan = json.loads((out / "lulcmap.tif.run" / "plan.json").read_text())
        features = json.loads((self.folder / self.items).read_text())["features"]
        by_id = {item["id"]: item for item in features}
        for item in features:
            for asset in item["assets"].values():
                if "://" not in asset["href"]:
                    asset["href"] = str(self.folder / asset["href"])
        job: dict[str, Any] = {
            name: [by_id[scene] for date in plan[key] for scene in date]
            for name, key in (
                ("s2", "s2_dates"),
                ("s1", "s1_passes"),
                ("s1_others", "s1_others"),
            )
        }
        rules = plan["rules"]
        job |= {"epsg": EPSG, "box": self.box, "model": self.model}
        job |= {"min_clear": rules["min_clear"], "max_scenes": rules["max_scenes"]}
        (out / "job.json").write_text(json.dumps({**job, "dilation": rules["dilation"]}))


def side_of(size: int) -> int:
    """Pixels a side of the windows around an area."""
    return (INSET_PX + size + 8) // STEP * STEP + WINDOW


def make_country(folder: Path, size: int, s2_dates: int, s1_dates: int) -> None:
    """Simulate the country around an area, all of Sentinel-1 on one orbit; write its outline."""
    import shapely

    from lulcmap.simulation import Country, simulate, to_degrees

    side = side_of(size) + 2 * BESIDE_PX
    made = simulate(
        folder,
        Country(
            seed=24,
            height=side,
            width=side,
            epsg=EPSG,
            west=(FIRST_COL - BESIDE_PX) * 10,
            north=-(FIRST_ROW - BESIDE_PX) * 10,
            year=YEAR,
            s2_dates=s2_dates,
            s1_dates=s1_dates,
        ),
    )
    catalog = json.loads(made.items.read_text())
    for item in catalog["features"]:
        if item["collection"] == "sentinel-1-rtc":
            item["properties"] |= {"sat:orbit_state": "descending", "sat:relative_orbit": 168}
    made.items.write_text(json.dumps(catalog))
    left, top = (FIRST_COL + INSET_PX) * 10, -(FIRST_ROW + INSET_PX) * 10
    square = shapely.box(left, top - size * 10, left + size * 10, top).buffer(
        -1, join_style="mitre"
    )
    xs, ys = shapely.get_coordinates(shapely.segmentize(square, 200.0)).T.tolist()
    outline = {"type": "Polygon", "coordinates": [to_degrees(xs, ys, EPSG)]}
    (folder / "area.geojson").write_text(json.dumps(outline))


def one_block(folder: Path, size: int, dates: tuple[int, int], model: str) -> Case:
    """The case of one block; its country is simulated if it is missing."""
    country = folder / f"country-{size}-{dates[0]}-{dates[1]}"
    if not (country / "area.geojson").exists():  # written last
        in_child("--simulate", str(country), str(size), *map(str, dates))
    box = (FIRST_ROW + INSET_PX, FIRST_COL + INSET_PX, size, size)
    return Case(country, country / "area.geojson", box, model)


def of_scale(folder: Path, side: int, model: str, peer: tuple[str, ...]) -> Case:
    """Some blocks of the country of ``scale.py``; it is simulated if it is missing."""
    if not (folder / scale.SIMULATED).exists():
        measured([sys.executable, "-m", "benchmarks.scale", str(folder), "--simulate"])
    skipped, inset = (scale.SIDE - side) // 2, scale.INSET_M // 10
    first = scale.first_pixel(model)
    corner = [
        (at + skipped) * scale.BLOCK + first + inset for at in (scale.FIRST_ROW, scale.FIRST_COL)
    ]
    pixels = side * scale.BLOCK - 2 * inset
    area = scale.area_of(folder, side, first)
    return Case(folder, area, (*corner, pixels, pixels), model, scale.BLOCK, peer)


def in_child(*words: str) -> str:
    """Run a part of this script in another process, whose memory does not count."""
    return measured([sys.executable, "-m", "benchmarks.end_to_end", *words])[1]


@contextmanager
def over_http(case: Case) -> Iterator[Case]:
    """The case with its files on a server."""
    catalog = json.loads((case.folder / case.items).read_text())
    with served(case.folder, 0) as url:
        for item in catalog["features"]:
            for asset in item["assets"].values():
                asset["href"] = f"{url}/{asset['href'].removeprefix('./')}"
        (case.folder / "items-http.json").write_text(json.dumps(catalog))
        yield replace(case, items="items-http.json")


def compare(ours: Path, theirs: Path) -> None:
    """Print how many labels differ of those that both maps have, and how many they are."""
    import numpy as np
    import rasterio

    with rasterio.open(ours) as a, rasterio.open(theirs) as b:
        # a border that runs along pixels is a centimetre off in degrees: ours may have a row more
        window = a.window(*b.bounds).round_offsets().round_lengths()
        if a.crs != b.crs or a.window_transform(window) != b.transform:
            sys.exit(f"the maps lie elsewhere: {a.transform} {a.shape}, {b.transform} {b.shape}")
        first, second = a.read(1, window=window), b.read(1)
    print(np.count_nonzero(first != second), first.size)


def run_case(name: str, case: Case, rounds: int) -> dict[str, Cost]:
    """Map an area by both, compare, then measure in turns; print and return the medians."""
    costs: dict[str, list[Cost]] = {"lulcmap": [], "odc-stac script": []}
    for turn in range(rounds + 1):  # the first is not counted: it compiles and fills caches
        with tempfile.TemporaryDirectory(prefix="end-to-end-") as temporary:
            out = Path(temporary)
            ours, _ = measured(case.lulcmap(out), DIRECT)
            case.write_job(out)
            theirs, _ = measured(case.script(out), DIRECT)
            if turn == 0:
                answer = in_child(
                    "--compare", str(out / "lulcmap.tif"), str(out / "peer.tif")
                ).split()
                differing, pixels = (int(word) for word in answer)
                print(f"{name}: {differing:,} of {pixels:,} labels differ", flush=True)
                if differing > MAX_DIFFERING * pixels:
                    sys.exit("That is too many to compare their cost.")
        counted = {"lulcmap": ours, "odc-stac script": theirs}
        print(f"{name}, round {turn}: {counted}", file=sys.stderr, flush=True)
        if turn or not rounds:
            for method, cost in counted.items():
                costs[method].append(cost)
    medians = {method: median_cost(runs) for method, runs in costs.items()}
    for method, cost in medians.items():
        print(
            f"  {method:16s} {cost.cpu:7.1f} CPU-s  {cost.wall:7.1f} s  {cost.memory:6.0f} MB  "
            f"{pixels / cost.cpu:9,.0f} px/CPU-s"
        )
    ours, theirs = medians.values()
    print(
        f"  the script takes {theirs.cpu / ours.cpu:.1f} times the CPU-seconds (aim: {MIN_CPU:g}) "
        f"and {theirs.wall / ours.wall:.1f} times the wall time (aim: {MIN_WALL:g})",
        flush=True,
    )
    return medians


def measure_growth(folder: Path, model: str, sides: list[int], rounds: int) -> None:
    """Print how the memory of both grows with the blocks, by the script's two ways."""
    ways = {"at once": (), "block by block": ("--block", str(scale.BLOCK))}
    for way, options in ways.items():
        few, many = (
            run_case(
                f"{side**2} blocks, the script {way}",
                of_scale(folder, side, model, options),
                rounds,
            )
            for side in sides
        )
        ours, theirs = (many[method].memory - few[method].memory for method in few)
        print(
            f"  memory grows by {ours:.0f} MB, that of the script {way} by {theirs:.0f} MB: "
            f"{ours / theirs:.2f} of it (aim: {MAX_GROWTH:g})",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the countries")
    parser.add_argument("--rounds", type=int, default=3, help="0 counts the first run of each")
    parser.add_argument("--model", default="lulcformer-tiny-real", help="a shipped model or a file")
    parser.add_argument("--http", action="store_true", help="also from a server")
    parser.add_argument("--growth", action="store_true", help="also memory, by number of blocks")
    parser.add_argument("--sides", type=int, nargs=2, default=[2, scale.SIDE], help="in blocks")
    parser.add_argument("--scale-folder", type=Path, help="where scale.py keeps its country")
    parser.add_argument("--small", action="store_true", help="160 px, once")
    parser.add_argument(
        "--peer", nargs=argparse.REMAINDER, default=[], help="options of the script"
    )
    options = parser.parse_args()
    size, dates = (SMALL, SMALL_DATES) if options.small else (2300, (12, 6))
    rounds = 0 if options.small else options.rounds
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        shipped = PROJECT / "models" / f"{options.model}.onnx"
        model = str(shipped if shipped.exists() else options.model)
        case = one_block(folder.resolve(), size, dates, model)
        case = replace(case, peer=tuple(options.peer), rules=SMALL_RULES if options.small else ())
        run_case("local files", case, rounds)
        if options.http:
            with over_http(case) as remote:
                run_case("from a server", remote, rounds)
        if options.growth:
            kept = options.scale_folder or folder / "scale"
            measure_growth(kept.resolve(), model, options.sides, min(rounds, 1))


def hidden(words: list[str]) -> bool:
    """Do a part of the work in this process, if it was asked for."""
    match words:
        case ["--simulate", folder, *numbers]:
            size, s2_dates, s1_dates = map(int, numbers)
            make_country(Path(folder), size, s2_dates, s1_dates)
        case ["--compare", ours, theirs]:
            compare(Path(ours), Path(theirs))
        case _:
            return False
    return True


if __name__ == "__main__":
    if not hidden(sys.argv[1:]):
        main()
