"""The recipe: real samples to landscapes, landscapes to a network, the network to a model file.

    python -m recipes.real_land RUN_FOLDER --data ../shared/data

The recipe is followed twice: with a fold of the samples held out, to measure what it is worth and
how sure it may be, and with all of them, which is the model that is shipped. Stopped at any moment,
the same command goes on. ``README.md`` beside this file says more.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tqdm import tqdm

from lulcmap.dataset import Dataset
from recipes.real_land.dataset import build_landscapes
from recipes.real_land.finish import copy_figures, export, measure_twin

TRAIN_OPTIONS = (
    *("--augmentation", "strong"),
    *("--missing-s1", "0.4"),
    *("--missing-s2", "0.05"),
    *("--balance", "0"),
    *("--gamma", "0"),
)
"""Options of ``lulcmap train`` that are the recipe's: no class counts more than it is common, and
no pixel for being hard, so that what the network is sure of stays true of land as it is."""


PASSED_OPTIONS = (
    *("model", "transform", "epochs", "batch_size", "crop", "learning_rate", "average"),
    *("seed", "device", "workers"),
)
"""Options of this command that ``lulcmap train`` gets as they are."""


def main() -> None:
    """Datasets, trainings, figures, file."""
    parser = argparse.ArgumentParser(
        prog="python -m recipes.real_land",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("folder", type=Path, help="where the run is kept")
    parser.add_argument("--data", type=Path, required=True, help="with points/ and archive/")
    parser.add_argument("--fold", type=int, default=0, help="to be measured on, 0 to 4")
    parser.add_argument("--seed", type=int, default=0, help="of the training; landscapes stay")
    parser.add_argument("--measure-only", action="store_true", help="only the held-out twin")
    parser.add_argument("--chips", type=int, default=5600, help="landscapes to learn from")
    parser.add_argument("--held", type=int, default=96, help="for the temperature, and to test on")
    parser.add_argument("--size", type=int, default=256, help="pixels a side of a landscape")
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

    os.environ["OMP_NUM_THREADS"] = "1"  # of every process that is started
    name = f"{options.model}-real"
    folds = [options.fold] if options.measure_only else [options.fold, None]
    datasets = [_landscapes(options, fold=fold) for fold in folds]
    trainings = _train(options, datasets)
    twin = measure_twin(trainings[0], datasets[0])
    own = f"fold-{options.fold}-seed-{options.seed}"
    export(twin, options.folder / f"{own}.onnx", name=f"{name}-{own}")
    if not options.measure_only:
        shipped = copy_figures(twin, trainings[1], datasets[1])
        export(shipped, options.folder / f"{name}.onnx", name=name)


def _landscapes(options: argparse.Namespace, *, fold: int | None) -> Dataset:
    """To learn from, and of what is held out; None holds no fold out."""
    place = options.folder / ("whole" if fold is None else f"fold-{fold}")
    counts = {"train": options.chips}
    if fold is not None:
        counts |= {"validation": options.held, "test": options.held}
    folder = place / "dataset"
    with tqdm(desc=f"landscapes, {place.name}", total=sum(counts.values())) as bar:
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
    """A training for each dataset, side by side; their folders.

    Each has one thread: a second one makes so small a network hardly faster, and with one number of
    threads the same command gives the same file.
    """
    out = [dataset.folder.parent / f"seed-{options.seed}" for dataset in datasets]
    passed_on = [
        word
        for name in PASSED_OPTIONS
        for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))
    ]
    with ExitStack() as stack:
        running = []
        for dataset, folder in zip(datasets, out, strict=True):
            # only one of them can draw its progress on the terminal
            log = None if not running else stack.enter_context(Path(f"{folder}.log").open("w"))
            training = subprocess.Popen(
                [
                    *(sys.executable, "-m", "lulcmap", "train"),
                    *("--data", str(dataset.folder), "--out", str(folder)),
                    *passed_on,
                    *TRAIN_OPTIONS,
                ],
                stdout=log,
                stderr=log,
            )
            stack.callback(training.terminate)
            running.append(training)
        ended = [training.wait() for training in running]
    for folder, code in zip(out, ended, strict=True):
        if code:
            raise SystemExit(
                f"The training in {folder} ended with {code}; what it said is above, or in "
                f"{folder}.log. The same command goes on."
            )
    return out


if __name__ == "__main__":
    main()
