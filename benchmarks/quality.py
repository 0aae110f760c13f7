"""How good the shipped network is on simulated countries it has never seen, beside the forest.

    python benchmarks/quality.py [--seeds 0 1 2 ...] [--folder FOLDER]

For each seed below 1000 (training begins there) a country as in ``lulcmap demo`` is mapped by the
demo's network and by the shipped random forest, with the same composites, and compared with its
truth. A folder given keeps countries and maps, and a run that was stopped goes on.
"""

import argparse
import tempfile
from datetime import date
from pathlib import Path
from statistics import mean, stdev

from lulcmap.catalog import make_period
from lulcmap.pipeline import Settings, map_area
from lulcmap.simulation import DEMO_MODEL, Country, map_with_forest, score_map, simulate


def measure(folder: Path, seed: int) -> tuple[float, float, float]:
    """Coverage, and mean IoU of the network and of the forest, on one country."""
    country = Country(seed=seed)
    made = simulate(folder / str(seed), country)
    period = make_period(year=country.year, today=date(2026, 1, 1))
    network, forest = folder / f"{seed}-network.tif", folder / f"{seed}-forest.tif"
    settings = Settings(model=DEMO_MODEL, catalog=str(made.items), overwrite=True)
    map_area(str(made.aoi), network, period=period, settings=settings)
    map_with_forest(made, forest, year=country.year)
    verdict = score_map(network, made)
    return verdict.coverage, verdict.mean_iou, score_map(forest, made).mean_iou


def main() -> None:
    parser = argparse.ArgumentParser(description="The shipped network on unseen countries.")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(6)))
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for seed in options.seeds:
            rows.append(measure(folder, seed))
            coverage, network, forest = rows[-1]
            print(
                f"seed {seed}: coverage {coverage:.2%}, mean IoU {network:.3f}, "
                f"forest {forest:.3f}, difference {network - forest:+.3f}",
                flush=True,
            )
    for name, column in zip(
        ("network", "forest"), ([row[1] for row in rows], [row[2] for row in rows]), strict=True
    ):
        spread = f" +- {stdev(column):.3f}" if len(column) > 1 else ""
        print(f"{name}: mean IoU {mean(column):.3f}{spread} over {len(column)} countries")


if __name__ == "__main__":
    main()
