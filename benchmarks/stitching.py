"""Effect of stitching on a map of the shipped network: windows against one big window, and blocks.

A network that looks further than the overlap of its windows gives different results in each of
them. This counts the pixels whose class changes because of that, on the composite of a simulated
country; the tests have a stub with a small receptive field, for which nothing may change. Two block
sizes must give the same map.

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
from lulcmap.imagery import Composite, CompositeRequest, composite_area
from lulcmap.model import Contract, Session, find_model, needed_windows, open_session
from lulcmap.model.inference import classify
from lulcmap.pipeline import map_area
from lulcmap.planning import Settings
from lulcmap.simulation import DEMO_MODEL, Country, SimulatedCountry, simulate

ZONE = 32632
BIG = 1152
"""Pixels a side of the one big window; with more, attention takes gigabytes."""

INSIDE = Box(-460 * BIG, 38 * BIG, BIG, BIG)
AROUND = INSIDE.grown(512)
"""Box of the composite: it holds every window that reaches the big one."""

EDGE = 64
"""Pixels along the edge of the big window that are not compared, because it lacks surroundings
there. Half an overlap."""

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


def windowed(session: Session, composite: Composite, blend: Blend) -> NDArray[np.uint8]:
    """(H, W) classes of the inside, from blended windows."""
    contract = session.contract
    windows = needed_windows(
        np.ones(INSIDE.shape, bool), INSIDE, lattice=contract.lattice, stride=contract.stride
    )
    return classes(session, contract, composite, windows, blend)


def whole(session: Session, composite: Composite) -> NDArray[np.uint8]:
    """(H, W) classes of the inside, from one window."""
    contract = replace(session.contract, window=BIG, step=BIG)
    return classes(session, contract, composite, [INSIDE], "hann")


def classes(
    session: Session, contract: Contract, composite: Composite, windows: list[Box], blend: Blend
) -> NDArray[np.uint8]:
    classified = classify(
        session.run,
        contract,
        s2=composite.s2,
        s1=composite.s1,
        over=AROUND,
        windows=windows,
        box=INSIDE,
        batch_size=1,
        blend=blend,
        sun=composite.sun,
    )
    return classified.classes[EDGE:-EDGE, EDGE:-EDGE]


def compare_windows(session: Session, country: SimulatedCountry) -> None:
    grid = geobox(AROUND, ZONE)
    area = MultiPolygon([rectangle(*footprint(grid))])
    request = CompositeRequest(PERIOD, str(country.items), workers=2, sun=True)
    composite = composite_area(area, grid, request)
    with rasterio.open(country.truth) as source:
        truth = source.read(1)[INSIDE.within(AROUND)][EDGE:-EDGE, EDGE:-EDGE]
    big = whole(session, composite)
    contract = session.contract
    maps = {
        "one window": big,
        "hann": windowed(session, composite, "hann"),
        "centre": windowed(session, composite, "centre"),
    }
    print(
        f"{contract.name}, windows of {contract.window} px every {contract.step} px, against one "
        f"window of {BIG} px, {big.size / 1e6:.2f} Mpx"
    )
    for name, mapped in maps.items():
        matrix = confusion(truth, mapped)
        print(
            f"{name:10s}  differs from one window {np.mean(mapped != big):7.3%}"
            f"   mean IoU {mean_iou(matrix):.4f}  accuracy {accuracy(matrix):.4f}"
        )
    print(f"hann and centre differ in {np.mean(maps['hann'] != maps['centre']):.3%}")


def compare_blocks(model: Path, country: SimulatedCountry, folder: Path) -> bool:
    """Map the country in blocks of two sizes; True if the maps are the same."""
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
    parser.add_argument("folder", type=Path, nargs="?", help="keeps the country for the next time")
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
            sys.exit("The map depends on the block size.")


if __name__ == "__main__":
    main()
