"""Accuracy of the shipped network on simulated countries it has never seen, and of the forest.

    python benchmarks/quality.py [--seeds 0 1 2 ...] [--folder FOLDER]

For each seed, below 1000 where training starts, a country as in ``lulcmap demo`` is mapped by the
demo's network and by the shipped random forest, from the same composites, and compared with its
truth. FOLDER keeps countries and maps; if interrupted, rerun the same command; it resumes.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean, stdev

from lulcmap import map_area
from lulcmap.simulation import DEMO_MODEL, Country, map_with_forest, score_map, simulate


def measure(folder: Path, seed: int) -> tuple[float, float, float]:
    """Coverage, and mean IoU of the network and of the forest, on one country."""
    country = Country(seed=seed)
    scenes = simulate(folder / str(seed), country)
    network, forest = folder / f"{seed}-network.tif", folder / f"{seed}-forest.tif"
    map_area(
        scenes.aoi,
        network,
        year=country.year,
        model=DEMO_MODEL,
        catalog=scenes.items,
        overwrite=True,
    )
    map_with_forest(scenes, forest, year=country.year)
    verdict = score_map(network, scenes)
    return verdict.coverage, verdict.mean_iou, score_map(forest, scenes).mean_iou


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
        print(f"{name}: mean IoU {mean(column):.3f}{spread} over seeds {options.seeds}")


if __name__ == "__main__":
    main()
