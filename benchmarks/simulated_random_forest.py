"""How difficult the simulated countries are: a random forest that sees one pixel at a time.

    python benchmarks/simulated_random_forest.py

The forest is trained on composites of some countries, made as ``lulcmap predict`` makes them, and
measured on others. A network that sees the surroundings of a pixel must be clearly better.
"""

import argparse
import tempfile
import time
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from shapely import MultiPolygon, box
from sklearn.ensemble import RandomForestClassifier

from lulcmap.catalog import choose_s1, find_scenes, make_period, rank_s2, s1_period
from lulcmap.evaluation import accuracy, confusion, iou, mean_iou
from lulcmap.geo import footprint
from lulcmap.imagery import Reader, make_composite
from lulcmap.legend import NAMES, NODATA
from lulcmap.simulation import Country, simulate


def pixels(country: Country) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Composite and truth of a country: (H * W, 11) features, (H * W,) classes, 255 unobserved."""
    with tempfile.TemporaryDirectory() as folder:
        simulated = simulate(Path(folder), country)
        with rasterio.open(simulated.truth) as source:
            truth, grid = source.read(1), GeoBox(source.shape, source.transform, source.crs)
        period = make_period(year=country.year, today=date(country.year + 1, 1, 1))
        scenes = find_scenes(
            MultiPolygon([box(*footprint(grid))]),
            s2_period=(period.start, period.end),
            s1_period=s1_period(period),
            catalog=str(simulated.items),
            s1=True,
        )
        dates = rank_s2(scenes.of("s2"), period)
        radar = choose_s1(scenes.of("s1"), period)
        with Reader(workers=2) as reader:
            composite = make_composite(
                reader.planes, grid, s2_dates=dates, s1_passes=radar.passes, s1_others=radar.others
            )
    features = np.concatenate([composite.s2, composite.s1]).astype(np.float32)
    observed = (composite.s2[0] > 0) & (composite.s1_count > 0)
    truth[~observed] = NODATA
    return features.reshape(len(features), -1).T, truth.ravel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1024, help="pixels a side of a country")
    parser.add_argument("--learn", type=int, nargs="+", default=[901, 902, 903, 904])
    parser.add_argument("--measure", type=int, nargs="+", default=[911, 912])
    parser.add_argument("--samples", type=int, default=60_000, help="pixels to train on")
    parser.add_argument("--trees", type=int, default=200)
    arguments = parser.parse_args()

    rng = np.random.default_rng(0)
    start = time.perf_counter()
    features, truth = [], []
    for seed in arguments.learn:
        values, classes = pixels(Country(seed=seed, height=arguments.size, width=arguments.size))
        labelled = np.flatnonzero(classes != NODATA)
        chosen = rng.choice(
            labelled, min(arguments.samples // len(arguments.learn), len(labelled)), False
        )
        features.append(values[chosen])
        truth.append(classes[chosen])
    forest = RandomForestClassifier(arguments.trees, n_jobs=1, random_state=0)
    forest.fit(np.concatenate(features), np.concatenate(truth))
    print(f"trained on seeds {arguments.learn} in {time.perf_counter() - start:.0f} s")

    total = np.zeros((len(NAMES), len(NAMES)), np.int64)
    for seed in arguments.measure:
        values, classes = pixels(Country(seed=seed, height=arguments.size, width=arguments.size))
        labelled = np.flatnonzero(classes != NODATA)
        chosen = rng.choice(labelled, min(100_000, len(labelled)), False)
        matrix = confusion(classes[chosen], forest.predict(values[chosen]).astype(np.uint8))
        print(f"seed {seed}: mean IoU {mean_iou(matrix):.3f}, accuracy {accuracy(matrix):.3f}")
        total += matrix
    print(f"all: mean IoU {mean_iou(total):.3f}, accuracy {accuracy(total):.3f}")
    for name, value, row in zip(NAMES, iou(total), total, strict=True):
        shares = " ".join(f"{share:4.0%}" for share in row / max(row.sum(), 1))
        print(
            f"{name:20s} IoU {value:.2f}  share {row.sum() / total.sum():4.0%}  mapped as {shares}"
        )


if __name__ == "__main__":
    main()
