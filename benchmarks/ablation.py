"""The paper's comparisons on cloudy simulated countries: sensors, modules, allocation, networks.

Every variant of LULC-Former, and a SegFormer and a U-Net of its size, is trained on the same
composites in the same number of steps, with three seeds, and measured on countries that none of
them has seen. Training has both sensors, as the composites do: none is removed.

    python -m benchmarks.ablation FOLDER [--seeds 3] [--steps 300] [--runs 2]

FOLDER keeps composites, trainings and results. If interrupted, rerun the same command; it resumes.
A training takes 5 minutes on one core (U-Net 10), and two run at once.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from shapely import MultiPolygon, box

from lulcmap.catalog import make_period
from lulcmap.evaluation import accuracy, iou, mean_f1, mean_iou
from lulcmap.geo import footprint
from lulcmap.imagery import CompositeRequest, composite_area
from lulcmap.legend import CLASSES, NAMES
from lulcmap.simulation import Country, simulate
from lulcmap.training import (
    Chips,
    Hardware,
    TrainingSettings,
    load_checkpoint,
    measure,
    network_config,
    restore_network,
    train_network,
)

SIZE = 512
"""Pixels a side of a country."""

TRAINING, TEST = range(7000, 7024), range(8000, 8008)
"""Seeds of the countries to train on, and of those to measure on."""

BATCH, CROP = 8, 128

VARIANTS: dict[str, dict[str, object]] = {
    "LULC-Former, S2+S1": {},
    "LULC-Former, S2": {"modalities": ["s2"]},
    "LULC-Former, S1": {"modalities": ["s1"]},
    "without DMEM": {"dmem": False},
    "without MMAM": {"mmam": False},
    "channels 1:1": {"allocation": "1:1"},
    "SegFormer, S2+S1": {"model": "segformer-tiny"},
    "U-Net, S2+S1": {"model": "unet-tiny"},
}


def country(seed: int) -> Country:
    """A cloudy country: two to five dates, about half of each under clouds."""
    rng = np.random.default_rng(seed)
    return Country(
        seed=seed,
        height=SIZE,
        width=SIZE,
        s2_dates=int(rng.integers(2, 6)),
        s1_dates=int(rng.integers(2, 9)),
        cloud=float(rng.uniform(0.4, 0.7)),
    )


def make_chip(path: Path, seed: int) -> None:
    """Write a country's composite, as ``lulcmap predict`` makes it, and its truth."""
    with tempfile.TemporaryDirectory() as folder:
        scenes = simulate(Path(folder), country(seed))
        with rasterio.open(scenes.truth) as source:
            truth, grid = source.read(1), GeoBox(source.shape, source.transform, source.crs)
        composite = composite_area(
            MultiPolygon([box(*footprint(grid))]),
            grid,
            CompositeRequest(
                make_period(year=country(seed).year, today=date(2026, 1, 1)),
                str(scenes.items),
                workers=1,
            ),
        )
    with path.with_suffix(".part").open("wb") as part:
        np.savez(part, s2=composite.s2, s1=composite.s1, label=truth)
    path.with_suffix(".part").replace(path)


def chips(folder: Path, seeds: range) -> Chips:
    """The chips of some countries, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, list[np.ndarray]] = {"s2": [], "s1": [], "label": []}
    for seed in seeds:
        path = folder / f"{seed}.npz"
        if not path.exists():
            make_chip(path, seed)
            print(f"composite of country {seed}", file=sys.stderr, flush=True)
        with np.load(path) as part:
            for name, planes in arrays.items():
                planes.append(part[name])
    return Chips(*(np.stack(planes) for planes in arrays.values()))


def run(folder: Path, variant: str, seed: int, steps: int) -> None:
    """Train one network, measure it, and keep the result beside the training."""
    training = chips(folder / "composites", TRAINING)
    test = chips(folder / "composites", TEST)
    arguments = {"model": "lulcformer-tiny", **VARIANTS[variant]}
    config = network_config(classes=len(CLASSES), **arguments)  # type: ignore[arg-type]
    out = place(folder, variant, seed)
    path = train_network(
        training,
        out,
        config=config,
        settings=TrainingSettings(
            epochs=round(steps * BATCH / len(training)),
            batch=BATCH,
            crop=CROP,
            learning_rate=7e-4,
            missing_s2=0,
            missing_s1=0,
            seed=seed,
        ),
        trained_on="simulated",
        hardware=Hardware(workers=1),
    )
    deployable = restore_network(load_checkpoint(path))
    matrix = measure(deployable, test, batch=1)
    result = {
        "parameters": sum(p.numel() for p in deployable.network.parameters()),
        "mean_iou": mean_iou(matrix),
        "accuracy": accuracy(matrix),
        "mean_f1": mean_f1(matrix),
        "iou": dict(zip(NAMES, iou(matrix).tolist(), strict=True)),
    }
    (out / "result.part").write_text(json.dumps(result))
    (out / "result.part").replace(out / "result.json")


def place(folder: Path, variant: str, seed: int) -> Path:
    """The folder of a training."""
    name = "".join(letter if letter.isalnum() else "-" for letter in variant.lower())
    return folder / "runs" / f"{name}-{seed}"


def table(folder: Path, seeds: range) -> None:
    """Print the results so far: mean and standard deviation over the seeds."""
    print(f"{'':22} {'M':>5} {'runs':>4}  {'mean IoU':>15} {'accuracy':>15} {'F1':>15}")
    first: dict[int, float] = {}
    for variant in VARIANTS:
        paths = {seed: place(folder, variant, seed) / "result.json" for seed in seeds}
        results = {s: json.loads(p.read_text()) for s, p in paths.items() if p.exists()}
        if not results:
            continue
        figures = []
        for name in ("mean_iou", "accuracy", "mean_f1"):
            values = [100 * result[name] for result in results.values()]
            spread = statistics.stdev(values) if len(values) > 1 else float("nan")
            figures.append(f"{statistics.mean(values):7.2f} ± {spread:5.2f}")
        if not first:
            first = {seed: result["mean_iou"] for seed, result in results.items()}
        differences = [
            100 * (result["mean_iou"] - first[seed])
            for seed, result in results.items()
            if seed in first
        ]
        millions = next(iter(results.values()))["parameters"] / 1e6
        print(
            f"{variant:22} {millions:5.2f} {len(results):4d}  "
            + " ".join(f"{text:>15}" for text in figures)
            + "   by seed "
            + " ".join(f"{value:+.2f}" for value in differences)
        )


def main() -> None:
    """Run the trainings that are missing, two at once, each in its own process on one thread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--runs", type=int, default=2, help="trainings at once")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        run(options.folder, options.one[0], int(options.one[1]), options.steps)
        return
    chips(options.folder / "composites", TRAINING)
    chips(options.folder / "composites", TEST)

    def start(variant: str, seed: int) -> None:
        if (place(options.folder, variant, seed) / "result.json").exists():
            return
        command = [sys.executable, "-m", "benchmarks.ablation", str(options.folder)]
        command += ["--steps", str(options.steps), "--one", variant, str(seed)]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
        print(f"{variant}, seed {seed}", file=sys.stderr, flush=True)

    with ThreadPoolExecutor(options.runs) as pool:
        for done in [
            pool.submit(start, variant, seed)
            for seed in range(options.seeds)  # so an unfinished table compares the same seeds
            for variant in VARIANTS
        ]:
            done.result()
    table(options.folder, range(options.seeds))


if __name__ == "__main__":
    main()
