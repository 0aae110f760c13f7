"""What stitching does to a map of the shipped network: windows against one big window, and blocks.

A network that looks further than the overlap of its windows says something else in each of them.
This counts the pixels whose class that changes, on the composite of a simulated country; a stub of
small reach, for which nothing may change, is in the tests. Two block sizes must give the same map.

    python benchmarks/stitching.py [FOLDER] [--model NAME|FILE]
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from shapely import MultiPolygon
from shapely import box as rectangle

from lulcmap.catalog import make_period
from lulcmap.evaluation import accuracy, confusion, mean_iou
from lulcmap.geo import Blend, Box, footprint, geobox
from lulcmap.imagery import Composite, composite_area
from lulcmap.model import Contract, Session, classify, find_model, needed_windows, open_session
from lulcmap.pipeline import Settings, map_area
from lulcmap.simulation import DEMO_MODEL, Country, SimulatedCountry, simulate

ZONE = 32632
BIG = 1152
"""Pixels a side of the one big window; more, and attention over it takes gigabytes."""

INSIDE = Box(-460 * BIG, 38 * BIG, BIG, BIG)
AROUND = INSIDE.grown(512)
"""The composite: every window that reaches the big one lies in it."""

EDGE = 64
"""Pixels along the big window's own edge that are not compared: there it is the one that lacks
surroundings. Half an overlap."""

BLOCK_SIZES = (768, 2304)
COUNTRY = Country(
    seed=32,
    height=AROUND.height,
    width=AROUND.width,
    epsg=ZONE,
    west=AROUND.col * 10,
    north=-AROUND.row * 10,
)
PERIOD = make_period(year=COUNTRY.year, today=date(COUNTRY.year + 1, 1, 1))


def windowed(session: Session, seen: Composite, blend: Blend) -> NDArray[np.uint8]:
    """(H, W) classes of the inside, from blended windows."""
    contract = session.contract
    windows = needed_windows(
        np.ones(INSIDE.shape, bool), INSIDE, lattice=contract.lattice, stride=contract.stride
    )
    return classes(session, contract, seen, windows, blend)


def whole(session: Session, seen: Composite) -> NDArray[np.uint8]:
    """(H, W) classes of the inside, as one window."""
    return classes(session, replace(session.contract, window=BIG, step=BIG), seen, [INSIDE], "hann")


def classes(
    session: Session, contract: Contract, seen: Composite, windows: list[Box], blend: Blend
) -> NDArray[np.uint8]:
    made = classify(
        session.run,
        contract,
        s2=seen.s2,
        s1=seen.s1,
        over=AROUND,
        windows=windows,
        box=INSIDE,
        batch_size=1,
        blend=blend,
    )
    return made.classes[EDGE:-EDGE, EDGE:-EDGE]


def compare_windows(session: Session, country: SimulatedCountry) -> None:
    on = geobox(AROUND, ZONE)
    area = MultiPolygon([rectangle(*footprint(on))])
    seen = composite_area(area, on, period=PERIOD, catalog=str(country.items), workers=2)
    with rasterio.open(country.truth) as source:
        truth = source.read(1)[INSIDE.within(AROUND)][EDGE:-EDGE, EDGE:-EDGE]
    big = whole(session, seen)
    contract = session.contract
    maps = {
        "one window": big,
        "hann": windowed(session, seen, "hann"),
        "centre": windowed(session, seen, "centre"),
    }
    print(
        f"{contract.name}, windows of {contract.window} px every {contract.step} px, against one "
        f"window of {BIG} px, {big.size / 1e6:.2f} Mpx"
    )
    for name, made in maps.items():
        matrix = confusion(truth, made)
        print(
            f"{name:10s}  another class than in one window {np.mean(made != big):7.3%}"
            f"   mean IoU {mean_iou(matrix):.4f}  accuracy {accuracy(matrix):.4f}"
        )
    print(f"hann and centre differ in {np.mean(maps['hann'] != maps['centre']):.3%}")


def compare_blocks(model: Path, country: SimulatedCountry, folder: Path) -> bool:
    """Map the country in blocks of two sizes; True where the maps are the same."""
    maps = []
    for size in BLOCK_SIZES:
        out = folder / f"blocks-{size}.tif"
        settings = Settings(
            model=str(model), catalog=str(country.items), block_size=size, overwrite=True, workers=2
        )
        map_area(str(country.aoi), out, period=PERIOD, settings=settings)
        with rasterio.open(out) as source:
            maps.append(source.read(1))
    differ = np.count_nonzero(maps[0] != maps[1])
    sizes = " and ".join(str(size) for size in BLOCK_SIZES)
    print(f"blocks of {sizes} px: {differ} of {maps[0].size:,} pixels differ")
    return not differ


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the country for another time")
    parser.add_argument("--model", default=DEMO_MODEL, help="a shipped model or a file")
    options = parser.parse_args()
    model = find_model(options.model)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        country = SimulatedCountry(
            folder / "items.json", folder / "truth.tif", folder / "aoi.geojson"
        )
        if not country.items.exists():  # written last
            simulate(folder, COUNTRY)
        compare_windows(open_session(model, device="cpu"), country)
        if not compare_blocks(model, country, Path(temporary)):
            sys.exit("the map depends on the size of its blocks")


if __name__ == "__main__":
    main()
