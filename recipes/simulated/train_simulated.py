"""Train the shipped ``lulcformer-tiny`` on simulated countries, from scratch.

    python recipes/simulated/train_simulated.py RUN_FOLDER

Countries with seeds from 1000 are simulated, composited by the code of ``lulcmap predict``, and cut
into chips; the demo, the tests and the benchmarks use seeds below 1000. If interrupted, rerun the
same command; it resumes. Takes about an hour on two cores.
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
from lulcmap.imagery import CompositeRequest, composite_area
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
"""Side of a chip, pixels; a country has two by two chips."""

TRAINING_SEEDS = 1000
"""First seed of the training countries."""

VALIDATION_SEEDS = 5000
"""First seed of the validation countries."""


def country(seed: int) -> Country:
    """A training country: dates, clouds and orbits vary as between real places."""
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
    """Four chips of one country: composites as made by ``predict``, and the truth."""
    with tempfile.TemporaryDirectory() as folder:
        simulated = simulate(Path(folder), country(seed))
        with rasterio.open(simulated.truth) as source:
            truth, grid = source.read(1), GeoBox(source.shape, source.transform, source.crs)
        west, south, east, north = footprint(grid)
        composite = composite_area(
            MultiPolygon([box(west, south, east, north)]),
            grid,
            CompositeRequest(
                make_period(year=country(seed).year, today=date(2026, 1, 1)),
                str(simulated.items),
                workers=1,
            ),
        )
    quarters = [
        (..., slice(row, row + CHIP), slice(col, col + CHIP))
        for row in (0, CHIP)
        for col in (0, CHIP)
    ]
    s2, s1, label = (
        np.stack([plane[quarter] for quarter in quarters])
        for plane in (composite.s2, composite.s1, truth)
    )
    return s2, s1, label


def keep_chips(folder: Path, seed: int) -> None:
    """Write the chips of one country to ``<seed>.npz``, if they are missing."""
    path = folder / f"{seed}.npz"
    if not path.exists():
        s2, s1, label = chips_of(seed)
        temporary = folder / f"{seed}.part"
        with temporary.open("wb") as part:
            np.savez(part, s2=s2, s1=s1, label=label)
        temporary.replace(path)


def chips(folder: Path, seeds: range) -> Chips:
    """Make the chips of some countries, in the order of their seeds."""
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor() as pool:
        written = pool.map(partial(keep_chips, folder), seeds)
        for _ in tqdm(written, desc=folder.name, total=len(seeds)):
            pass
    parts = [np.load(folder / f"{seed}.npz") for seed in seeds]
    return Chips(
        *(np.concatenate([part[name] for part in parts]) for name in ("s2", "s1", "label"))
    )


def figures(deployable: DeployableNetwork, validation: Chips) -> dict[str, object]:
    """Scores of the network for its card, on countries it was not trained on."""
    whole = measure(deployable, validation)
    return {
        "countries": len(validation) // 4,
        "mean_iou": round(mean_iou(whole), 4),
        "accuracy": round(accuracy(whole), 4),
        "iou": dict(zip(NAMES, np.round(iou(whole), 4).tolist(), strict=True)),
        "mean_iou_s2_only": round(mean_iou(measure(deployable, validation, without="s1")), 4),
        "mean_iou_s1_only": round(mean_iou(measure(deployable, validation, without="s2")), 4),
    }


def main() -> None:
    """Make the chips, train and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="folder for chips and checkpoints")
    parser.add_argument("--countries", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=70)
    options = parser.parse_args()

    seeds = range(TRAINING_SEEDS, TRAINING_SEEDS + options.countries)
    training = chips(options.folder / "training", seeds)
    validation = chips(
        options.folder / "validation",
        range(VALIDATION_SEEDS, VALIDATION_SEEDS + max(2, options.countries // 8)),
    )
    path = train_network(
        training,
        options.folder,
        config=LULCFORMER_TINY,
        settings=TrainingSettings(epochs=options.epochs, batch=4, crop=256, learning_rate=7e-4),
        trained_on="simulated",
        source=f"{options.countries} simulated countries of {2 * CHIP} x {2 * CHIP} px, "
        f"seeds {seeds.start} to {seeds.stop - 1}, composited as by lulcmap predict",
        on_epoch=lambda epoch: print(epoch, flush=True),
    )
    checkpoint = load_checkpoint(path)
    checkpoint["training"]["figures"] = figures(restore_network(checkpoint), validation)
    save_checkpoint(path, checkpoint)
    print(checkpoint["training"]["figures"])


if __name__ == "__main__":
    main()
