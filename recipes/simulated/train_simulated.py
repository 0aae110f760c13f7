"""Trains the shipped ``lulcformer-tiny`` on simulated countries, from nothing to the ONNX file.

    python recipes/simulated/train_simulated.py RUN_FOLDER

Countries of seeds 1000 and up are simulated, composited by the very code that ``lulcmap predict``
runs, and cut into chips; the seeds of the demo, the tests and the benchmarks lie below 1000.
Stopped at any moment, the same command goes on. About an hour on two cores.
"""

import argparse
import tempfile
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from shapely import MultiPolygon, box
from tqdm import tqdm

from lulcmap.catalog import make_period
from lulcmap.evaluation import accuracy, iou, mean_iou
from lulcmap.geo import footprint
from lulcmap.imagery import composite_area
from lulcmap.legend import NAMES
from lulcmap.simulation import Country, simulate
from lulcmap.training import (
    LULCFORMER_TINY,
    Chips,
    DeployableNetwork,
    TrainingSettings,
    load_checkpoint,
    measure,
    restore_network,
    save_checkpoint,
    train_network,
)

CHIP = 512
"""Pixels a side of a chip; a country is two by two."""

TRAINING_SEEDS = 1000
"""The first seed of the training countries."""

VALIDATION_SEEDS = 5000
"""The first seed of the countries that are only measured on."""


def country(seed: int) -> Country:
    """A country to learn from: dates, clouds and orbits vary as they do between places."""
    rng = np.random.default_rng(seed)
    return Country(
        seed=seed,
        height=2 * CHIP,
        width=2 * CHIP,
        s2_dates=int(rng.integers(4, 11)),
        s1_dates=int(rng.integers(2, 9)),
        cloud=float(rng.uniform(0.1, 0.5)),
    )


def chips_of(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Four chips of one country: composites as ``predict`` makes them, and the truth."""
    with tempfile.TemporaryDirectory() as folder:
        made = simulate(Path(folder), country(seed))
        with rasterio.open(made.truth) as source:
            truth, on = source.read(1), GeoBox(source.shape, source.transform, source.crs)
        west, south, east, north = footprint(on)
        seen = composite_area(
            MultiPolygon([box(west, south, east, north)]),
            on,
            period=make_period(year=country(seed).year, today=date(2026, 1, 1)),
            catalog=str(made.items),
            workers=1,
        )
    quarters = [
        (..., slice(row, row + CHIP), slice(col, col + CHIP))
        for row in (0, CHIP)
        for col in (0, CHIP)
    ]
    s2, s1, label = (
        np.stack([plane[quarter] for quarter in quarters]) for plane in (seen.s2, seen.s1, truth)
    )
    return s2, s1, label


def keep_chips(folder: Path, seed: int) -> None:
    """The chips of one country in ``<seed>.npz``, made once."""
    path = folder / f"{seed}.npz"
    if not path.exists():
        s2, s1, label = chips_of(seed)
        temporary = folder / f"{seed}.part"
        with temporary.open("wb") as part:
            np.savez(part, s2=s2, s1=s1, label=label)
        temporary.replace(path)


def chips(folder: Path, seeds: range) -> Chips:
    """The chips of some countries, in the order of their seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        made = pool.map(partial(keep_chips, folder), seeds)
        for _ in tqdm(made, desc=folder.name, total=len(seeds)):
            pass
    parts = [np.load(folder / f"{seed}.npz") for seed in seeds]
    return Chips(
        *(np.concatenate([part[name] for part in parts]) for name in ("s2", "s1", "label"))
    )


def figures(deployable: DeployableNetwork, seen: Chips) -> dict[str, object]:
    """What the card says of the network: measured on countries it was not trained on."""
    whole = measure(deployable, seen)
    return {
        "countries": len(seen) // 4,
        "mean_iou": round(mean_iou(whole), 4),
        "accuracy": round(accuracy(whole), 4),
        "iou": dict(zip(NAMES, np.round(iou(whole), 4).tolist(), strict=True)),
        "mean_iou_s2_only": round(mean_iou(measure(deployable, seen, without="s1")), 4),
        "mean_iou_s1_only": round(mean_iou(measure(deployable, seen, without="s2")), 4),
    }


def main() -> None:
    """Chips, training, figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="where chips and checkpoint are kept")
    parser.add_argument("--countries", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=70)
    options = parser.parse_args()

    seeds = range(TRAINING_SEEDS, TRAINING_SEEDS + options.countries)
    seen = chips(options.folder / "training", seeds)
    unseen = chips(
        options.folder / "validation",
        range(VALIDATION_SEEDS, VALIDATION_SEEDS + max(2, options.countries // 8)),
    )
    path = train_network(
        seen,
        options.folder,
        config=LULCFORMER_TINY,
        settings=TrainingSettings(epochs=options.epochs, batch=4, crop=256, learning_rate=7e-4),
        trained_on="simulated",
        source=f"{options.countries} simulated countries of {2 * CHIP} x {2 * CHIP} px, "
        f"seeds {seeds.start} to {seeds.stop - 1}, composited as by lulcmap predict",
        on_epoch=lambda epoch: print(epoch, flush=True),
    )
    checkpoint = load_checkpoint(path)
    checkpoint["training"]["figures"] = figures(restore_network(checkpoint), unseen)
    save_checkpoint(path, checkpoint)
    print(checkpoint["training"]["figures"])


if __name__ == "__main__":
    main()
