"""Cost of a map: pixels per second, CPU-seconds and peak memory, for 1, 4, 16 and 64 blocks.

One country is simulated, in its own process, and kept in FOLDER. The block in its centre, the four
in the centre, sixteen and all are mapped with ``lulcmap predict --block-size 768``, each in a new
process, in turns; medians are printed. Peak memory must not grow with the area. Then sixteen blocks
are mapped by one worker on one core, and by two shards on one core each.

    python -m benchmarks.scale [FOLDER] [--rounds 3] [--model NAME|FILE]
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Cost, lulcmap, measured, median_cost

BLOCK = 768
"""Pixels a side of a block: two steps of the lattice."""

MARGIN = 256
"""Pixels by which the windows of a block reach beyond it, at most."""

INSET_M = 30
"""Metres by which an area stays inside its blocks: lulcmap maps 20 m beyond a polygon, which must
not touch another block."""

EPSG = 32632
FIRST_ROW, FIRST_COL = -690, 57
"""The first block of the country, counted from the zone's origin: 48 degrees north, 8 east."""

SIDE = 8
"""Blocks a side of the country."""

SEED = 31
YEAR = 2024

SIMULATED = "simulated"
"""Name of the file that says that the country is whole."""

MAX_GROWTH = 0.15
"""Share by which peak memory may grow from the second smallest area to the largest."""


def simulate_country(folder: Path) -> None:
    """Simulate the country."""
    from lulcmap.simulation import Country, simulate

    size = SIDE * BLOCK + 2 * MARGIN
    simulate(
        folder,
        Country(
            seed=SEED,
            height=size,
            width=size,
            epsg=EPSG,
            west=FIRST_COL * BLOCK * 10,
            north=-FIRST_ROW * BLOCK * 10,
            year=YEAR,
        ),
    )


def first_pixel(model: str) -> int:
    """Where block 0 begins, pixels: the edges of blocks lie in the middle of a window."""
    from lulcmap.model import find_model, open_session

    return open_session(find_model(model), device="cpu", threads=1).contract.window // 2


def area_of(folder: Path, side: int, first: int) -> Path:
    """A file with the outline of ``side`` by ``side`` blocks in the country's centre.

    Args:
        folder: where the country is.
        side: blocks a side.
        first: where block 0 begins, as ``first_pixel`` says.

    """
    import shapely

    from lulcmap.simulation import to_degrees

    skipped = (SIDE - side) // 2
    left = ((FIRST_COL + skipped) * BLOCK + first) * 10
    top = -((FIRST_ROW + skipped) * BLOCK + first) * 10
    square = shapely.box(left, top - side * BLOCK * 10, left + side * BLOCK * 10, top)
    # A straight line in metres bends in degrees: by 0.1 mm between corners 200 m apart.
    outline = shapely.segmentize(square.buffer(-INSET_M, join_style="mitre"), 200.0)
    xs, ys = shapely.get_coordinates(outline).T.tolist()
    ring = to_degrees(xs, ys, EPSG)
    path = folder / f"{side}-from-{first}.geojson"
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}), encoding="utf-8")
    return path


def command_of(folder: Path, side: int, out: Path, model: str) -> list[str]:
    """The command that maps an area."""
    area = area_of(folder, side, first_pixel(model))
    words = ["predict", "--year", str(YEAR), "--json", "--keep-run", "--block-size", str(BLOCK)]
    words += ["--aoi", str(area), "--out", str(out / f"{side}.tif"), "--model", model]
    return lulcmap(*words, "--catalog", str(folder / "items.json"))


def map_once(folder: Path, side: int, out: Path, model: str) -> tuple[Cost, int]:
    """Map an area with the command; return the cost of the process, and the pixels mapped."""
    cost, report = measured(command_of(folder, side, out, model))
    blocks = len(list((out / f"{side}.tif.run" / "blocks").iterdir()))
    if blocks != side * side:
        sys.exit(f"The area of {side * side} blocks was mapped in {blocks} blocks.")
    return cost, json.loads(report)["pixels"]["total"]


def measure(folder: Path, sides: list[int], *, rounds: int, model: str) -> bool:
    """Print the table; True if peak memory stays within its limit."""
    with tempfile.TemporaryDirectory() as warm:  # warm-up: compiles what is compiled once
        map_once(folder, sides[0], Path(warm), model)
    costs: dict[int, list[Cost]] = {side: [] for side in sides}
    pixels: dict[int, int] = {}
    for turn in range(rounds):
        for side in sides:
            with tempfile.TemporaryDirectory() as out:
                cost, pixels[side] = map_once(folder, side, Path(out), model)
            print(f"round {turn + 1}, {side * side} blocks: {cost}", file=sys.stderr, flush=True)
            costs[side].append(cost)
    print("blocks      Mpx    wall s     CPU s  px/s wall  px/CPU-s  peak MB")
    peaks = []
    for side, runs in costs.items():
        cost, mapped = median_cost(runs), pixels[side]
        peaks.append(cost.memory)
        print(
            f"{side * side:6d}  {mapped / 1e6:7.2f}  {cost.wall:8.1f}  {cost.cpu:8.1f}"
            f"  {mapped / cost.wall:9,.0f}  {mapped / cost.cpu:8,.0f}  {cost.memory:7.0f}"
        )
    if len(peaks) < 2:
        return True
    few = min(1, len(peaks) - 2)  # a run of one block reads none ahead
    growth = peaks[-1] / peaks[few] - 1
    print(
        f"Peak memory grows by {growth:.1%} from {sides[few] ** 2} to {sides[-1] ** 2} blocks; "
        f"the limit is {MAX_GROWTH:.0%}."
    )
    return growth < MAX_GROWTH


def share(folder: Path, side: int, workers: int, model: str) -> float:
    """Seconds in which workers, each on its own core, map the blocks of an area."""
    with tempfile.TemporaryDirectory() as out:
        command = command_of(folder, side, Path(out), model)
        start = time.perf_counter()
        running = [
            subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command, "--shard", f"{core + 1}/{workers}"],
                stdout=subprocess.DEVNULL,
            )
            for core in range(workers)
        ]
        codes = [process.wait() for process in running]
        if any(codes):
            sys.exit("A shard failed.")
        return time.perf_counter() - start


def measure_workers(folder: Path, side: int, *, rounds: int, model: str) -> None:
    """Print how much faster two workers are than one."""
    times: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(rounds):
        for workers, runs in times.items():
            runs.append(share(folder, side, workers, model))
    one, two = (statistics.median(runs) for runs in times.values())
    print(
        f"{side * side} blocks: {one:.1f} s by one worker, {two:.1f} s by two, each on one core: "
        f"efficiency {one / two / 2:.0%}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the country for the next time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sides", type=int, nargs="+", default=[1, 2, 4, 8], help="in blocks")
    parser.add_argument("--model", default="lulcformer-tiny", help="a shipped model or a file")
    parser.add_argument("--simulate", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if options.simulate:
            simulate_country(folder)
            (folder / SIMULATED).touch()
            return
        if not (folder / SIMULATED).exists():
            # In another process, because a child's peak memory is at least its parent's.
            subprocess.run(
                [sys.executable, "-m", "benchmarks.scale", str(folder), "--simulate"], check=True
            )
        if not measure(folder, options.sides, rounds=options.rounds, model=options.model):
            sys.exit(1)
        measure_workers(folder, 4, rounds=options.rounds, model=options.model)


if __name__ == "__main__":
    main()
