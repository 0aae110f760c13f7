"""The recipe: real samples to landscapes, landscapes to a network, the network to a model file.

    python -m recipes.real_land.version1 RUN_FOLDER --data ../shared/data

This is the recipe of version 1: landscapes alone, no real scene.

The recipe runs twice: with a fold of the samples held out, to measure its scores and temperature,
and with all samples, which gives the shipped model. If interrupted, rerun the same command; it
resumes. See ``README.md`` beside this file.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from lulcmap.dataset import Dataset
from recipes.real_land.dataset import build_landscapes
from recipes.real_land.finish import copy_figures, export, measure_twin
from recipes.real_land.trainings import run_trainings

PASSED_OPTIONS = (
    *("model", "transform", "epochs", "batch_size", "crop", "learning_rate", "average"),
    *("seed", "device", "workers"),
)
"""Options of this command that are passed on to ``lulcmap train``."""


def main() -> None:
    """Build the datasets, train, measure and export."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.real_land.version1",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("--data", type=Path, required=True, help="folder with points/ and archive/")
    parser.add_argument("--fold", type=int, default=0, help="fold to measure on, 0 to 4")
    parser.add_argument("--seed", type=int, default=0, help="seed of the training; landscapes stay")
    parser.add_argument("--measure-only", action="store_true", help="train only the twin")
    parser.add_argument("--chips", type=int, default=5600, help="number of training landscapes")
    parser.add_argument("--held", type=int, default=96, help="landscapes per held-out split")
    parser.add_argument("--size", type=int, default=256, help="side of a landscape, pixels")
    parser.add_argument("--model", default="lulcformer-tiny")
    parser.add_argument("--transform", default="log-indices")
    parser.add_argument("--epochs", type=int, default=42)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--crop", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--average", type=float, default=0.998)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()

    os.environ["OMP_NUM_THREADS"] = "1"  # for every process that is started
    name = f"{options.model}-real"
    folds = [options.fold] if options.measure_only else [options.fold, None]
    datasets = [_landscapes(options, fold=fold) for fold in folds]
    trainings = _train(options, datasets)
    twin = measure_twin(trainings[0], datasets[0])
    suffix = f"fold-{options.fold}-seed-{options.seed}"
    export(twin, options.folder / f"{suffix}.onnx", name=f"{name}-{suffix}")
    if not options.measure_only:
        shipped = copy_figures(twin, trainings[1], datasets[1])
        export(shipped, options.folder / f"{name}.onnx", name=name)


def _landscapes(options: argparse.Namespace, *, fold: int | None) -> Dataset:
    """Build the landscapes of a fold, with held-out splits; None holds no fold out."""
    fold_folder = options.folder / ("whole" if fold is None else f"fold-{fold}")
    counts = {"train": options.chips}
    if fold is not None:
        counts |= {"validation": options.held, "test": options.held}
    folder = fold_folder / "dataset"
    with tqdm(desc=f"landscapes, {fold_folder.name}", total=sum(counts.values())) as bar:
        build_landscapes(
            options.data,
            folder,
            counts=counts,
            fold=fold,
            size=options.size,
            workers=options.workers,
            progress=lambda done, _: bar.update(done - bar.n),
        )
    return Dataset.open(folder)


def _train(options: argparse.Namespace, datasets: Sequence[Dataset]) -> list[Path]:
    """Train on each dataset, side by side; return the folders."""
    passed = [
        word
        for name in PASSED_OPTIONS
        for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))
    ]
    folders = [dataset.folder.parent / f"seed-{options.seed}" for dataset in datasets]
    run_trainings(
        {
            folder: ["--data", str(dataset.folder), *passed]
            for dataset, folder in zip(datasets, folders, strict=True)
        }
    )
    return folders


if __name__ == "__main__":
    main()
